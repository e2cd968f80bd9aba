"""A Keras model, `.h5` or `.keras`, to ONNX. It needs the extra `facemodels[keras]`.

tf2onnx: https://github.com/onnx/tensorflow-onnx. The graph has Keras' order of axes (batch,
height, width, channels), which the import brings into ours like that of any other file.
"""

from __future__ import annotations

import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from facemodels.errors import InputError
from facemodels.package.verify import has_hdf5_signature

OPSET = 17
EXTRA = ("keras", "tensorflow", "tf2onnx")
_ZIP = b"PK\x03\x04"


def export(data: bytes, name: str) -> bytes:
    """Convert the bytes of a Keras file to those of an ONNX file.

    Args:
        data: the bytes.
        name: the file's name, for messages; its ending says which of Keras' formats it is.

    Raises:
        InputError: the bytes are no Keras file, the extra is not installed, or Keras or tf2onnx
            cannot use the model.
    """
    ending = check_signature(data, name)
    missing = [module for module in EXTRA if find_spec(module) is None]
    if missing:
        raise InputError(
            f"{name} is a Keras file, and there is no {', '.join(missing)} here.",
            "Run `pip install 'facemodels[keras]'`, or convert it elsewhere with "
            "`python -m tf2onnx.convert --keras FILE --output x.onnx` and give --onnx.",
        )
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, f"model{ending}")
        path.write_bytes(data)
        return _converted(path, name)


def check_signature(data: bytes, name: str) -> str:
    """Check that bytes are an HDF5 or a `.keras` file; return the ending of the format.

    Raises:
        InputError: they are neither.
    """
    if has_hdf5_signature(data):
        return ".h5"
    if data.startswith(_ZIP):
        return ".keras"
    raise InputError(
        f"{name} is no Keras file: it has the signature neither of HDF5 nor of a zip archive.",
        "Save it with `model.save('model.h5')` or `model.save('model.keras')`.",
    )


def _converted(path: Path, name: str) -> bytes:
    import warnings

    keras, tf2onnx, tensorflow = (
        import_module(module) for module in ("keras", "tf2onnx", "tensorflow")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's own, of its parts among each other
        try:
            # A Lambda layer holds code: safe_mode refuses it.
            model = keras.models.load_model(path, compile=False, safe_mode=True)
        # Keras raises whatever its parts raise: of HDF5, of JSON, of layers that it does not know.
        except Exception as error:
            raise InputError(
                f"{name} cannot be loaded by Keras {keras.__version__}: {_line(error, path)}.",
                "Save the whole model (not its weights alone), without Lambda layers.",
            ) from error
        specs = [
            tensorflow.TensorSpec(one.shape, tensorflow.float32, name=f"input_{place}")
            for place, one in enumerate(model.inputs)
        ]
        try:
            made, _ = tf2onnx.convert.from_keras(model, input_signature=specs, opset=OPSET)
        except Exception as error:  # likewise of tf2onnx
            raise InputError(
                f"tf2onnx {tf2onnx.__version__} cannot convert {name}: {_line(error, path)}.",
                "Export it to ONNX where it was trained, and give --onnx.",
            ) from error
    data: bytes = made.SerializeToString()
    return data


def _line(error: BaseException, path: Path) -> str:
    """A foreign message on one line, without the folder of the temporary file."""
    text = " ".join(str(error).replace(f"{path.parent}/", "").split())[:300]
    return text.rstrip(".") or type(error).__name__
