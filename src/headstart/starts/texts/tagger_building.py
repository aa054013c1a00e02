"""Building taggers without tokens: train gives what they know, and how texts are cut.

A linear tagger has the features of its words, a dictionary its entities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headstart.errors import StartError, quoted
from headstart.preprocessing import KnownWordPreprocess, WordFeaturePreprocess
from headstart.preprocessing.word_features import learn_features
from headstart.preprocessing.word_places import cut_of
from headstart.starts.architecture import write_architecture
from headstart.starts.encoder import Encoder
from headstart.starts.provider import BuildRequest, FormerRun
from headstart.starts.texts.builders import check_request, refuse_token_options
from headstart.starts.texts.catalog import DICTIONARY, TAGGER
from headstart.starts.texts.term_network import build_tagger
from headstart.types import Sentence, Start


def learn_words(texts: Sequence[str], origin: str) -> WordFeaturePreprocess:
    """Learn the features of the words of texts.

    Args:
        texts: Those of train, with their words.
        origin: Names the start in a refusal.

    Raises:
        StartError: If they have no words that are known.
    """
    known = [text for text in texts if isinstance(text, Sentence)]
    if len(known) < len(texts):
        raise _no_tags(origin)
    return WordFeaturePreprocess(learn_features(known, origin), cut=cut_of(texts))


def _no_tags(origin: str) -> StartError:
    return StartError(
        f"'{origin}' tells a tag of each word, and in these data something else is told. "
        "Expected tags of words. Choose another, such as scratch/tfidf where whole texts have "
        "classes."
    )


def build_tagger_encoder(start: Start, request: BuildRequest, former: FormerRun | None) -> Encoder:
    """Build a tagger; a run as a start keeps what it knows, and is solved for anew.

    Args:
        start: ``scratch/linear-tagger``, ``scratch/dictionary``, or a run of one.
        request: The texts.
        former: The run that is the start; None where it is none.

    Raises:
        StartError: If the request holds what it has no use for, or nothing is told of words.
    """
    check_request(start, request)
    refuse_token_options(start, request, "looks at single words")
    learned = request.preprocess
    if former is not None and not request.tells_words:
        raise _no_tags(start.address)
    if former is not None:
        learned = former.architecture.read_preprocess(former.path)
    elif learned is None and start.address == f"scratch/{DICTIONARY}":
        if request.known_words is None:
            raise _no_tags(start.address)
        learned = KnownWordPreprocess(request.known_words(), cut=cut_of(request.texts))
    elif learned is None:
        learned = learn_words(request.texts, start.address)
    assert isinstance(learned, WordFeaturePreprocess)
    preprocess = replace(learned, column=request.column)
    builder = DICTIONARY if isinstance(learned, KnownWordPreprocess) else TAGGER
    tags_of = getattr(learned.table, "tags_of", None)
    if tags_of is not None and tags_of != tuple(request.class_names):
        raise StartError(
            f"'{start.address}' knows words by the tags {quoted(tags_of, 9)}, and these data have "
            f"{quoted(request.class_names, 9)}. Expected the same. Begin with scratch/dictionary."
        )
    options = {"num_features": preprocess.num_features, "num_outputs": request.num_outputs}
    return Encoder(
        build_tagger(**options),
        start=start,
        preprocess=preprocess,
        architecture=write_architecture(builder, options, start, preprocess.to_json()),
        num_features=request.num_outputs,
    )
