"""What other systems read, made from result files and from nothing else: a file for each format."""
