#!/bin/sh
# aarch64.sh FOLDER, from the top of the repository: makes FOLDER/python, an aarch64 Python that can run the build.
#
# Debian's packages are unpacked, not installed, and need no root. The emulator is that of bookworm-backports (qemu 10):
# under qemu 7.2 the aarch64 wheels of onnxruntime 1.28 to 1.31 end with a segmentation fault when they are imported.
# Of the lock, the packages that a build imports, verified by its hashes.
set -eu
command -v apt-get >/dev/null && command -v dpkg >/dev/null || { echo "aarch64: needs apt-get and dpkg; skipped"; exit 0; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
mirror=$(apt-get indextargets --format '$(REPO_URI)' "Created-By: Packages" "Origin: Debian" "Codename: bookworm" | head -n 1)
[ -n "$mirror" ] || { echo "aarch64: needs Debian 12's packages among apt's sources; skipped"; exit 0; }
debian="deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror"

# fetch ARCHITECTURE SUITE PACKAGE...: what they need, too, into FOLDER/ARCHITECTURE.
fetch() {
    architecture=$1 suite=$2 into=$folder/$1
    shift 2
    mkdir -p "$into/state/lists/partial" "$into/cache/archives/partial" "$into/root"
    : >"$into/status"
    echo "$debian $suite main" >"$into/sources.list"
    options="-qq -o APT::Architecture=$architecture -o APT::Architectures::=$architecture -o Dir::State=$into/state"
    options="$options -o Dir::State::status=$into/status -o Dir::Cache=$into/cache -o Debug::NoLocking=1"
    options="$options -o Dir::Etc::sourcelist=$into/sources.list -o Dir::Etc::sourceparts=/dev/null"
    apt-get $options update
    if [ "$suite" = bookworm ]; then
        apt-get $options install -y --no-install-recommends --download-only "$@"
    else
        (cd "$into/cache/archives" && apt-get $options download "$@")
    fi
    for archive in "$into"/cache/archives/*.deb; do dpkg -x "$archive" "$into/root"; done
}

fetch arm64 bookworm python3.11 libstdc++6
fetch amd64 bookworm-backports qemu-user

wanted="annotated-types flatbuffers ml-dtypes numpy onnx onnxruntime packaging protobuf pydantic pydantic-core rfc8785"
wanted="$wanted typing-extensions typing-inspection"
awk -v wanted="$wanted" 'BEGIN { split(wanted, names, " "); for (i in names) want[names[i]] = 1 }
    /^[a-z0-9]/ { split($0, parts, "=="); keep = parts[1] in want }
    keep' requirements.lock >"$folder/requirements.txt"
rm -rf "$folder/site"
"$PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: \
    --python-version 3.11 --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
    --platform manylinux2014_aarch64 --target "$folder/site" -r "$folder/requirements.txt"

cat >"$folder/python" <<END
#!/bin/sh
emulator=$folder/amd64/root/usr/bin/qemu-aarch64
if [ "\$1" = --emulator ]; then echo "cortex-a72 by \$(\$emulator --version | head -n 1)"; exit; fi
exec \$emulator -cpu cortex-a72 -L $folder/arm64/root -E PYTHONPATH=$folder/site $folder/arm64/root/usr/bin/python3.11 "\$@"
END
chmod +x "$folder/python"
"$folder/python" -c 'import onnxruntime, platform; print(platform.machine(), "onnxruntime", onnxruntime.__version__)'
