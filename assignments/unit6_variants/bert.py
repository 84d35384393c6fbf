# %% [markdown]
# # BERT: an encoder that reads in both directions
#
# *Unit 6, page 1 of 5, about 4 hours. Before: [training a transformer](../unit5_transformer/training.ipynb). Next:
# [GPT](gpt.ipynb). Papers: [Devlin et al. 2018, BERT](https://arxiv.org/abs/1810.04805), sections 3 and A.1; [Liu et
# al. 2019, RoBERTa](https://arxiv.org/abs/1907.11692), section 4. Further reading: [Jay Alammar, The Illustrated
# BERT](https://jalammar.github.io/illustrated-bert/); [Hendrycks and Gimpel 2016,
# GELU](https://arxiv.org/abs/1606.08415); [Clark et al. 2019, What Does BERT Look
# At?](https://arxiv.org/abs/1906.04341).*
#
# Take the encoder of the original transformer and throw the decoder away. What is left reads a text in **both
# directions at once**, and gives a vector for each token that knows its whole surroundings. What can it be trained on?
# Not on predicting the next token, since it sees that already. BERT's answer is a cloze test: hide some tokens, and
# have them guessed from both sides. No labels are needed but the text itself.
#
# | | Transformer (2017) | BERT (2018) | why |
# |---|---|---|---|
# | made of | encoder, decoder | **encoder** | it is to understand a text, not to write one |
# | a token sees | all; or what is before it | **all** | words on the right matter as well |
# | norm | LayerNorm, post | LayerNorm, post; **and on the embeddings** | three tables are added |
# | positions | sinusoids, added | **learned**, added | as good, and simpler; the table ends at 512 |
# | activation | ReLU | **GELU** (erf) | smooth; found to work a little better |
# | input | source; target so far | **[CLS] A [SEP] B [SEP]** | two texts in one sequence |
# | is asked for | next token of the target | **hidden tokens; is B next?** | any text will do |
# | tied | embeddings, output | embedding, output | the output's bias is its own |
# | afterwards | translates | **fine-tuned**, with a small new head | one training serves many tasks |
#
# This table grows along the pages of the unit.

# %% [markdown]
# ![Left, the sum of a token, a position and a segment embedding for each of six tokens, one of them hidden; in the
# middle the encoder, every token connected to every other; right, the two heads: the hidden token from its own vector,
# and from the vector of CLS whether the second sentence follows the first](diagrams/bert.svg)

# %%
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autograder import given
from autograder.given import EncoderLayer, LayerNorm


# %% [markdown]
# ## The input: three vectors, added
#
# Every input has the form **[CLS] A [SEP] B [SEP]**, with two pieces of text A and B. [CLS] (classification) is a token
# that means nothing; its vector at the end is free to collect what concerns the whole input. [SEP] ends a piece. A
# token enters as
#
# $$x_t = \mathrm{LN}\bigl(E[\mathrm{id}_t] + P[t] + S[\mathrm{segment}_t]\bigr)$$
#
# with three learned tables: $E$ of (V, D) for tokens, $P$ of (max_len, D) for positions
# ([unit 4](../unit4_positional_encoding/learned.ipynb)), and $S$ of (2, D), whose row 0 is added to [CLS] A [SEP] and
# row 1 to B [SEP]. Compared with the [embedding of 2017](../unit4_positional_encoding/embedding.ipynb) the factor
# $\sqrt D$ is gone: all three tables are learned from the same small start, and the norm behind the sum sets its size.
#
# By hand, $D = 2$: token (1, 0), position (0, 3), segment (0, 1). The sum is (1, 4), its mean 2.5 and its standard
# deviation 1.5, so that the norm makes (-1, 1) of it. Normed before the sum, the token would be (1, -1), and the result
# (1, 3): another model.
#
# BERT's norms have $\varepsilon = 10^{-12}$, where others take $10^{-5}$. With a start of standard deviation 0.02 the
# variance of a sum is about 0.001, and $10^{-5}$ would already be a percent of it.

# %% [markdown]
# ## Exercise `bert_embeddings`: the input of BERT (8 points)
#
# `LayerNorm(d, eps)` comes from the kit; torch's will do as well. (BERT also drops a tenth of the sums in training.
# There is no dropout on this page.)

# %%
class BertEmbeddings(nn.Module):
    """Token, position and segment embeddings, added and then normalised.

    Args:
        vocab: V, the number of tokens. d: D, the width. max_len: the number of positions.
        n_segments: the number of segments.
        pad_id: the token that fills rows up. Its row of the token table is looked up like any other, but gets no
            gradient from the look-up: `padding_idx` of nn.Embedding does just that. (In `Bert`, below, it gets one as
            a row of the output layer.)
        eps: of the layer norm.

    Parameters, as named in the state dict: tokens.weight (V, D), positions.weight (max_len, D), segments.weight
    (n_segments, D), norm.weight and norm.bias (D,). Weights are loaded into your module under these names; a module
    with another structure inside has a method `load_reference(self, state_dict)` that copies such a dict into it; it
    may be called more than once, and replaces all weights. How the tables start is not checked (BERT: normal, standard
    deviation 0.02).

    `given.BertEmbeddings` may not be used.
    """

    def __init__(
        self, vocab: int, d: int, max_len: int, n_segments: int = 2, pad_id: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        # YOUR CODE HERE
        raise NotImplementedError()

    def forward(self, ids: Tensor, segments: Tensor | None = None) -> Tensor:
        """Look up the three rows of each token, add them, and normalise the sum.

        Args:
            ids: int64 (B, T), T ≥ 1.
            segments: int64 (B, T), each 0 ... n_segments - 1; None: every token belongs to segment 0 (whose row is
                added, too).

        Returns:
            (B, T, D) in the dtype of the parameters: norm(tokens[ids] + positions[0 ... T - 1] + segments[segments]).
            Positions begin at 0 in each row of the batch. Nothing is scaled. No argument is changed.

        Raises:
            ValueError: if T > max_len.

        >>> embed = BertEmbeddings(vocab=5, d=2, max_len=4)
        >>> tables = {"tokens.weight": torch.zeros(5, 2), "positions.weight": torch.zeros(4, 2)}
        >>> tables["tokens.weight"][3] = torch.tensor([1.0, 0.0])
        >>> tables["positions.weight"][0] = torch.tensor([0.0, 3.0])
        >>> segments = torch.tensor([[0.0, 1.0], [0.0, -9.0]])
        >>> norm = {"norm.weight": torch.ones(2), "norm.bias": torch.zeros(2)}
        >>> load = getattr(embed, "load_reference", embed.load_state_dict)
        >>> _ = load(tables | {"segments.weight": segments} | norm)
        >>> embed(torch.tensor([[3]])).tolist()
        [[[-1.0, 1.0]]]
        >>> embed(torch.tensor([[3]]), torch.tensor([[1]])).tolist()
        [[[1.0, -1.0]]]
        """
        # YOUR CODE HERE
        raise NotImplementedError()


# %% [markdown]
# ## Masked language modelling
#
# Choose each token with probability 15 %. The model has to say what the chosen tokens were; the others are context and
# count nothing in the loss, which is why their label is -100, the number that `F.cross_entropy` skips
# ([cross-entropy](../unit0_prerequisites/numerics.ipynb), and [padding in
# labels](../unit5_transformer/transformer.ipynb)). What the model *sees* at a chosen place is decided once more at
# random:
#
# | of the chosen tokens | the model sees | because |
# |---|---|---|
# | 80 % | [MASK] | otherwise it could copy |
# | 10 % | a random token | otherwise it could trust whatever is no [MASK] |
# | 10 % | the token itself | and still the right token has to be the likeliest reading of itself |
#
# [MASK] never occurs after pre-training. A model that had been asked about [MASK] alone would be free to give useless
# vectors for all real tokens. As it is, any token may be asked for, so each vector has to be good.
#
# The percentages are a chain: 15 % of all, and 80, 10 and 10 % **of those**. In a text of 512 tokens about 77 are
# chosen: 61 become [MASK], 8 become random, 8 stay. An example, with the number 4 for [MASK]:
#
# | | [CLS] | my | dog | is | hairy | [SEP] |
# |---|---|---|---|---|---|---|
# | ids | 2 | 71 | 55 | 60 | 93 | 3 |
# | chosen? | never | | yes, kept | | yes, hidden | never |
# | inputs | 2 | 71 | 55 | 60 | 4 | 3 |
# | labels | -100 | -100 | 55 | -100 | 93 | -100 |
#
# Look at "dog": the model sees it, and is asked for it all the same.
#
# Randomness comes from a `torch.Generator` that the caller hands over, never from the global one. Only so can a run be
# repeated, whatever else draws numbers in the same program.

# %% [markdown]
# ## Exercise `mlm_mask`: hide tokens (12 points)

# %%
def mlm_mask(
    ids: Tensor, special: Tensor, mask_id: int, vocab: int, p: float = 0.15, *, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Choose tokens for masked language modelling, and hide them.

    Args:
        ids: int64 (B, T).
        special: bool (B, T); True where a token is never chosen: [CLS], [SEP], padding.
        mask_id: the number of [MASK].
        vocab: V, the number of tokens.
        p: each token that is not special is chosen with this probability, independently of all others, in its row and
            in other rows. 0 and 1 are ordinary cases.
        generator: where all random numbers come from. Its seed decides the result; which numbers you draw from it, and
            in which order, is up to you.

    Returns:
        inputs, int64 (B, T): ids, but where a token was chosen, independently of all others, with probability 0.8
            mask_id, with 0.1 a random token, and with 0.1 the token as it was. A random token is any of 0 ... V - 1,
            all of them equally likely: it may be special, mask_id, or by chance the token that it replaces.
        labels, int64 (B, T): the token of ids where one was chosen (kept or not), -100 elsewhere.
        ids and special are not changed. No global generator is used.

    `given.mlm_mask` may not be used.

    >>> ids, special = torch.tensor([[2, 71, 55, 60, 93, 3]]), torch.tensor([[True, False, False, False, False, True]])
    >>> inputs, labels = mlm_mask(ids, special, 4, 100, p=1.0, generator=torch.Generator().manual_seed(0))
    >>> labels.tolist()
    [[-100, 71, 55, 60, 93, -100]]
    >>> inputs[special].tolist()
    [2, 3]
    >>> mlm_mask(ids, special, 4, 100, p=0.0, generator=torch.Generator().manual_seed(0))[0].tolist()
    [[2, 71, 55, 60, 93, 3]]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## Next sentence prediction
#
# The second task is for what concerns two pieces of text: does B follow A? Half of the time B is the sentence that
# comes after A in its document, half of the time one from **another document**. (A wrong sentence of the same document
# would often be an answer that makes sense, and may even be the right one by chance.) Later work found the task to be
# of little use (RoBERTa leaves it out), since telling documents apart by their topic is easy. Its form, two segments
# and a [CLS], has stayed.
#
# A pair is packed into one sequence. With $a$ and $b$ tokens that makes $a + b + 3$; where this is more than the model
# takes, the pieces must become shorter, but **never the special tokens**: without its last [SEP] an input has a form
# that the model has never seen. BERT shortens fairly: one token at a time, always from the longer piece. By hand, with
# max_len = 8 and so room for 5 tokens: A = 10 11 12 13 14 15 (six) and B = 20 21 22 (three) are nine, four too many. A
# loses 15, 14, 13, and now both have three: then B loses 22.
#
# | ids | CLS | 10 | 11 | 12 | SEP | 20 | 21 | SEP |
# |---|---|---|---|---|---|---|---|---|
# | segments | 0 | 0 | 0 | 0 | 0 | 1 | 1 | 1 |
#
# The first [SEP] belongs to A.

# %% [markdown]
# ## Exercise `nsp_pairs`: pairs of sentences (10 points)

# %%
def make_nsp_examples(
    docs: Sequence[Sequence[Sequence[int]]], cls: int, sep: int, max_len: int, generator: torch.Generator
) -> tuple[list[list[int]], list[list[int]], list[bool]]:
    """Make an example for next sentence prediction of each two neighbouring sentences.

    Args:
        docs: documents, each a list of sentences, each a list of token numbers. No document and no sentence is empty;
            neither cls nor sep occurs in them. A document of one sentence has no neighbours and gives no example, but
            its sentence may be drawn.
        cls, sep: the numbers of [CLS] and [SEP].
        max_len: the longest example, at least 5.
        generator: where all random numbers come from (as in mlm_mask).

    Each sentence that has a next one in its document is A of one example, in the order of the documents and of the
    sentences in them. With probability 1/2, for each example anew, B is the next sentence. Otherwise B is drawn: first
    one of the *other* documents, each equally likely, then one of its sentences, each equally likely. (All documents
    but the one of A are others, also one that holds the same sentences.) Where there is no other document, B is always
    the next sentence.

    If A and B together have more than max_len - 3 tokens, the longer of the two loses its last token, B if they are of
    the same length, and so on until they fit.

    Returns:
        ids: for each example the list [cls, *A, sep, *B, sep], of at most max_len numbers, without padding.
        segments: for each example a list of the same length: 0 up to the first sep, that one included, and 1 after it.
        is_next: for each example whether B is the next sentence (True), or was drawn (False).
        docs is not changed. No global generator is used.

    Raises:
        ValueError: if max_len < 5, too little for cls, one token, sep, one token, sep.

    >>> docs = [[[10, 11, 12, 13, 14, 15], [20, 21, 22]]]
    >>> make_nsp_examples(docs, cls=1, sep=2, max_len=8, generator=torch.Generator().manual_seed(0))
    ([[1, 10, 11, 12, 2, 20, 21, 2]], [[0, 0, 0, 0, 0, 1, 1, 1]], [True])
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## The model
#
# ```
#   ids, segments (B, T)
#      |  embeddings
#   (B, T, D)
#      |  n_layers encoder layers, post-LN, GELU  <-- padding mask, and no other
#   sequence (B, T, D) -----------------------------------------------.
#      |  the vector at place 0, that of [CLS]                        |  every vector
#   pooled = tanh(W h_0 + b)  (B, D)                        LN(GELU(W h_t + b))  (B, T, D)
#      |  linear                                                      |  times tokens.weight^T, plus a bias
#   nsp_logits (B, 2)                                          mlm_logits (B, T, V)
# ```
#
# - **No causal mask.** A token that could not see what stands to its right would have to be guessed from one side, and
#   then this would be GPT.
# - **Post-LN**, as in 2017: each [layer](../unit5_transformer/encoder.ipynb) ends with a norm, so no final norm is
#   needed.
# - **The pooler** takes the vector of [CLS], not a mean. [CLS] is a token like any other, but one that never has to be
#   guessed, and whose vector nobody needs for itself.
# - **The head for hidden tokens** changes the vectors once more (linear, GELU, norm), then compares them with the rows
#   of the *token embedding*: one parameter in two places ([tied
#   weights](../unit5_transformer/transformer.ipynb)). What is not tied is the bias, one number for each token, which
#   learns how frequent it is.
# - **GELU with erf**, $x\,\Phi(x)$. The formula with tanh, which GPT-2 uses, differs by up to $5 \cdot 10^{-4}$
#   ([unit 5](../unit5_transformer/feed_forward.ipynb)).
#
# BERT base, with $V = 30522$, $D = 768$, 12 layers, $F = 3072$ and 512 positions, has 110 106 428 parameters: 23.8
# million are embeddings, $12 \cdot 7\,087\,872$ are layers, and the heads are nearly free because of the tie.
#
# In training the loss is the sum of two cross-entropies, that of mlm_logits with the labels of `mlm_mask`, and that of
# nsp_logits with is_next. Only 15 % of the tokens teach in each step, where a GPT learns from every token: reading in
# both directions has its price.

# %% [markdown]
# ## Exercise `bert_model`: BERT (20 points)
#
# So that no earlier mistake counts twice, take the embeddings and layers from the kit: `given.BertEmbeddings`, with the
# arguments of yours, and `EncoderLayer(d, n_heads, d_ff, norm_first=..., activation=..., eps=...)`, called as `layer(x,
# mask=mask)`. Its activation is "relu", "gelu" (with erf) or "gelu_tanh"; its mask is bool, True = may attend, of any
# shape that broadcasts to (B, H, T, T), and a query that may attend to nothing finds 0. Its defaults, post-LN
# (`norm_first=False`), "relu", an eps of 1e-5 and no mask, are not all BERT's.

# %%
class Bert(nn.Module):
    """BERT with its two pre-training heads, without dropout.

    Args:
        cfg: a dict with the keys vocab (V), d (D), n_layers, n_heads, d_ff, max_len, n_segments and pad_id, all of them
            whole numbers. n_layers may be 0.

    All layers are post-LN, with the GELU that uses erf; all norms have eps 1e-12.

    Parameters, as named in the state dict, (out, in): embeddings.* (those of BertEmbeddings); layers.i.* (those of the
    kit's EncoderLayer, i from 0); pooler.weight (D, D) and .bias (D,); transform.weight (D, D) and .bias (D,);
    transform_norm.weight and .bias (D,); decoder.weight (V, D), which is the very parameter embeddings.tokens.weight,
    and decoder.bias (V,); nsp.weight (2, D) and .bias (2,). The dict holds the shared weight under both names. Weights
    are loaded into your module under these names; a module with another structure inside has a method
    `load_reference(self, state_dict)`, which may be called more than once and replaces all weights.
    """

    def __init__(self, cfg: dict[str, Any]) -> None:
        super().__init__()
        # YOUR CODE HERE
        raise NotImplementedError()

    def forward(
        self, ids: Tensor, segments: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Read ids in both directions.

        Args:
            ids: int64 (B, T). segments: int64 (B, T), or None for segment 0 everywhere.
            mask: bool (B, T), True where a token is real and False where it is padding, in whatever places. None: all
                tokens are real, also those with the number pad_id.

        Returns: a tuple of four, in the dtype of the parameters.
            sequence (B, T, D): what the last layer gives. Every token may attend to every real token, and none to
                padding.
            pooled (B, D): tanh(pooler(sequence[:, 0])).
            mlm_logits (B, T, V): transform_norm(gelu(transform(sequence))) · tokens.weightᵀ + decoder.bias.
            nsp_logits (B, 2): nsp(pooled). In training column 1 stands for "B follows A".

            What sequence and mlm_logits hold at places of padding is of no meaning. A row of nothing but padding (which
            is only filler of a batch) gives numbers of no meaning, but finite ones. No argument is changed.

        Raises:
            ValueError: if T > max_len.

        >>> cfg = {"vocab": 11, "d": 4, "n_layers": 2, "n_heads": 2, "d_ff": 8}
        >>> bert = Bert(cfg | {"max_len": 6, "n_segments": 2, "pad_id": 0})
        >>> [tuple(out.shape) for out in bert(torch.tensor([[1, 5, 2], [1, 2, 0]]))]
        [(2, 3, 4), (2, 4), (2, 3, 11), (2, 2)]
        >>> sum(parameter.numel() for parameter in bert.parameters())
        497
        """
        # YOUR CODE HERE
        raise NotImplementedError()


# %% [markdown]
# ## RoBERTa: the same model, trained better
#
# A year later Liu et al. trained BERT's architecture once more, with more text (160 GB instead of 16), larger batches,
# for longer, and with a few changes to the recipe. The result matched or exceeded everything that had been
# published in between. Three of the changes are about data:
#
# - **Dynamic masking.** BERT's masks were drawn once, before training (ten different ones for each text), so that a
#   model saw the same text with the same holes again and again. RoBERTa draws new ones whenever a text is used.
# - **Full sentences.** No pairs and no next sentence prediction: an input is filled with whole sentences, one after the
#   other, also across the end of a document, which a separator marks.
# - Tokens of bytes, 50 000 of them, in place of BERT's 30 000 word pieces.
#
# ### New, and yet repeatable
#
# A mask should differ from epoch to epoch, and still be the same when the same epoch is run again, whether there is one
# process or eight that share the work, in whatever order they ask. Hence the mask of text $i$ in epoch $e$ is a
# *function* of (seed, $i$, $e$): make a generator for these three numbers, draw, and forget it. A generator that lives
# on in the dataset would give masks that depend on everything that was asked for before. And no two of the triples may
# share a generator: with the seed `seed + i + e` text 1 in epoch 2 has the holes of text 2 in epoch 1. (What mixes
# several numbers into one: `np.random.SeedSequence` or a hash. `manual_seed` looks at the last 32 bits of its number
# only: digits further left are lost.)
#
# How many holes do two masks of the same text share? Each token is in both with probability $p^2$, so of the chosen
# tokens of one epoch a share of $p = 15$ % is chosen in the next one as well, not 100 %.
#
# ### Packing, by hand
#
# The separator is 9, and there are two documents: (1 2 3), (4 5) and (6 7), (8 8 8 8).
#
# | seq_len | blocks | |
# |---|---|---|
# | 8 | 1 2 3 4 5 **9** 6 7 and 8 8 8 8 | full to the brim; the rest is short, but not thrown away |
# | 6 | 1 2 3 4 5 and 6 7 8 8 8 8 | 1 2 3 4 5 9 6 7 would be too long; no 9 where a block ends anyway |
# | 3 | 1 2 3 and 4 5 and 6 7 and 8 8 8 and 8 | a sentence that is too long by itself is cut |

# %% [markdown]
# ## Exercise `roberta_dynamic_masking`: new holes every time (10 points)
#
# Two pieces that are used apart from each other. `given.mlm_mask` does what yours should do, and may be used here.

# %%
class DynamicMaskingDataset:
    """A long stream of tokens, cut into texts, whose tokens are hidden anew in each epoch.

    Args:
        tokens: int64 (N,), N ≥ 1. It is never changed.
        seq_len: the length of a text. Text i holds tokens[i · seq_len] and so on; the last one is shorter where seq_len
            does not divide N.
        mask_id, vocab, p: as in mlm_mask. No token is special here.
        seed: a whole number from 0 on.
    """

    def __init__(self, tokens: Tensor, seq_len: int, mask_id: int, vocab: int, p: float = 0.15, seed: int = 0) -> None:
        # YOUR CODE HERE
        raise NotImplementedError()

    def __len__(self) -> int:
        """The number of texts. No token is lost: the shorter one at the end counts.

        >>> len(DynamicMaskingDataset(torch.arange(7), seq_len=3, mask_id=0, vocab=9))
        3
        """
        # YOUR CODE HERE
        raise NotImplementedError()

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """`dataset[i, epoch]`: the inputs and labels of text i in an epoch.

        Args:
            key: the pair (i, epoch), with 0 ≤ i < len(self) and epoch from 0 on. (A DataLoader whose sampler gives such
                pairs asks like that.)

        Returns:
            inputs and labels, int64 (n,) with the length n of the text, hidden as in mlm_mask. They depend on the
            arguments of the constructor and on (i, epoch) alone: not on what was asked for before, nor on the global
            generators, which are not used. Other texts, other epochs and other seeds have other masks, independent of
            this one.

        Raises:
            IndexError: if i is not in 0 ... len(self) - 1.

        >>> dataset = DynamicMaskingDataset(torch.arange(10, 17), seq_len=3, mask_id=0, vocab=20, p=1.0)
        >>> dataset[2, 0][1].tolist(), dataset[0, 5][1].tolist()
        ([16], [10, 11, 12])
        """
        # YOUR CODE HERE
        raise NotImplementedError()


def pack_full_sentences(docs: Sequence[Sequence[Sequence[int]]], seq_len: int, sep: int) -> list[list[int]]:
    """Fill blocks with whole sentences, across documents.

    Args:
        docs: documents, each a list of sentences, each a list of token numbers. None of them is empty, and sep does not
            occur in them.
        seq_len: the longest block, at least 1.
        sep: the separator between two documents.

    The sentences are taken in their order, and each is put into the current block as long as it fits: the block with it
    has at most seq_len tokens. Where it does not, the block ends, and the sentence begins the next one. Between the
    last sentence of a document and the first of the next one stands sep, if both are in the same block: sep counts when
    it is asked whether the sentence fits, and never begins or ends a block. A sentence of more than seq_len tokens is
    first cut into pieces of seq_len, the last of them shorter, and each piece is then treated as a sentence.

    Returns:
        The blocks, as lists of numbers. The last one is there however short it is: without sep the blocks, one after
        the other, are exactly the tokens of docs. docs is not changed.

    >>> docs = [[[1, 2, 3], [4, 5]], [[6, 7], [8, 8, 8, 8]]]
    >>> pack_full_sentences(docs, seq_len=6, sep=9)
    [[1, 2, 3, 4, 5], [6, 7, 8, 8, 8, 8]]
    >>> pack_full_sentences(docs, seq_len=8, sep=9)
    [[1, 2, 3, 4, 5, 9, 6, 7], [8, 8, 8, 8]]
    >>> pack_full_sentences(docs, seq_len=3, sep=9)
    [[1, 2, 3], [4, 5], [6, 7], [8, 8, 8], [8]]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## The picture
#
# A pair of sentences as BERT sees it in four epochs. Every row is the same text; your `mlm_mask` has drawn other holes
# each time. Look for the three fates of a chosen token (its label is what the model is asked for): hidden, replaced by
# a token that makes no sense there, or simply left as it was. [CLS] and [SEP] are never chosen. On average one token in
# seven is; in a text this short it may be none or five.
#
# Next: the other half of the transformer, which reads from the left only, and can write. [GPT](gpt.ipynb).

# %%
TEXT = ["[CLS]", "the", "cat", "sat", "on", "the", "mat", "[SEP]"]
TEXT += ["it", "was", "very", "tired", "and", "the", "sofa", "was", "warm", "[SEP]"]
WORDS = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(TEXT) - {"[CLS]", "[SEP]"}), "dog", "lay", "under", "cold"]
EPOCHS = 4


def figure_data() -> np.ndarray:
    """(3, EPOCHS, T), int64: the same ids in each epoch, what the model sees of them, and the labels."""
    ids = torch.tensor([[WORDS.index(word) for word in TEXT]] * EPOCHS)
    generator = torch.Generator().manual_seed(24)
    inputs, labels = mlm_mask(ids, ids < 4, WORDS.index("[MASK]"), len(WORDS), p=0.15, generator=generator)
    return torch.stack([ids, inputs, labels]).numpy()


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    ids, inputs, labels = figure_data()
    colours = {"context": "#eceff2", "hidden": "#f3b06a", "random": "#f39b92", "kept": "#86d295"}
    fig, ax = plt.subplots(figsize=(13, 3.4), layout="constrained")
    for epoch in range(EPOCHS):
        for t in range(len(TEXT)):
            seen, asked = inputs[epoch, t], labels[epoch, t] != -100
            changed = "hidden" if WORDS[seen] == "[MASK]" else "random" if seen != ids[epoch, t] else "kept"
            fate = changed if asked else "context"
            ax.add_patch(plt.Rectangle((t, -epoch), 0.96, 0.9, color=colours[fate]))
            ax.text(t + 0.48, 0.55 - epoch, WORDS[seen], ha="center", va="center", fontsize=9)
            if asked:
                ax.text(t + 0.48, 0.2 - epoch, "? " + WORDS[labels[epoch, t]], ha="center", va="center", fontsize=7)
    for fate, colour in colours.items():
        ax.scatter([], [], color=colour, marker="s", label=fate)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.18), ncols=4, frameon=False)
    ax.set_xlim(-0.05, len(TEXT))
    ax.set_ylim(0.95 - EPOCHS, 0.95)
    ax.set_yticks([0.45 - epoch for epoch in range(EPOCHS)], [f"epoch {epoch}" for epoch in range(EPOCHS)])
    ax.set_xticks([])
    for side in ax.spines.values():
        side.set_visible(False)
    fig.savefig("mlm_example.png", dpi=110)
    plt.show()
