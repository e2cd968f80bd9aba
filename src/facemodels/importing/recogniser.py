"""An ONNX recogniser that others made: from the bytes to a graph that can be packaged."""

from __future__ import annotations

from dataclasses import dataclass, replace

from facemodels.architecture.contract import Interface
from facemodels.importing.architecture import Described
from facemodels.importing.behaviour import rewritten
from facemodels.importing.canonical import embedding_output, image_input
from facemodels.importing.checks import ImportCheck
from facemodels.importing.onnx_file import read
from facemodels.names import ModelName
from facemodels.recognition.task import Embedder, Preprocessing
from facemodels.runtime import open_graph


@dataclass(frozen=True)
class ExaminedRecogniser:
    """A recogniser whose file was looked at.

    Attributes:
        checks: everything that was looked at.
        graph: the bytes of the served form; empty where a check did not pass.
        preprocessing: how a face becomes an input, with the size of the graph.
        embedding_size: D.
        facts: for metadata.json: opset, batch and length of the original.
    """

    checks: tuple[ImportCheck, ...]
    graph: bytes = b""
    preprocessing: Preprocessing | None = None
    embedding_size: int = 0
    facts: tuple[tuple[str, object], ...] = ()

    def model(self, *, threads: int) -> Embedder:
        """The recogniser around the served graph."""
        assert self.preprocessing is not None  # noqa: S101  (`checks.require` came before)
        run = open_graph(self.graph, threads=threads).run
        return Embedder(run, self.preprocessing, self.embedding_size)

    def described(self, name: ModelName, title: str) -> Described:
        """What the package says of it."""
        assert self.preprocessing is not None  # noqa: S101  (likewise)
        size = self.preprocessing.size
        return Described(
            name.task,
            name.architecture,
            title,
            Interface((size, size, 3), (self.embedding_size,)),
            self.preprocessing.as_config(),
        )


def examine(
    data: bytes, name: str, stated: Preprocessing, *, embedding_output_name: str = ""
) -> ExaminedRecogniser:
    """Check a file, bring its graph into the served form and run it on random pictures.

    Args:
        data: the bytes of the ONNX file.
        name: its name, for messages.
        stated: how the importer says that a face becomes an input; `size` counts where the
            graph leaves it free.
        embedding_output_name: the output with the embedding; "" finds it.

    Raises:
        InputError: the bytes are no ONNX model.
    """
    file = read(data, name)
    checks = list(file.checks)
    images, found = image_input(file, stated.size)
    checks += found
    output, found = embedding_output(file, embedding_output_name)
    checks += found
    if images is None or output is None or not all(check.passed for check in checks):
        return ExaminedRecogniser(tuple(checks))
    preprocessing = replace(stated, size=images.size)
    made = rewritten(file, images, output, preprocessing)
    if isinstance(made, ImportCheck):
        return ExaminedRecogniser((*checks, made))
    return ExaminedRecogniser(
        (*checks, *made.checks),
        made.graph,
        preprocessing,
        made.embedding_size,
        (
            ("opset", file.opset),
            ("row_by_row", made.row_by_row),
            ("length_brought_to_1", made.normalised),
        ),
    )
