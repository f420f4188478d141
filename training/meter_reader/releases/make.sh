#!/bin/sh
# How the releases of meter-reader were made. Run `make models` first; refuses to overwrite what is there.
#   training/meter_reader/releases/make.sh [--state DIR] [--repository DIR]
set -eu
here=$(dirname "$0")
program=${MUSTER:-.venv/bin/muster}

new() {
    version=$1 source=$2 inference=$3
    shift 3
    "$program" release new meter-reader "$version" --source "$source" \
        --calibration sha256:0e80865d89ce2d436ddc82eb0bf9f8cb70f5cdc3485c6529da73f5c9acca7670 \
        --evaluation sha256:249107062d7e1fdd2aed3bc77d84c4a0c9388613fb6a7bf54b830beba1e52e26 \
        --golden sha256:f22f205cdbf269bbcb0250b469a3e92380925007806855cf86185de291aaf8cc \
        --inference "$here/$inference" --recipe "$here/recipe.yaml" --lineage "$here/lineage-$version.yaml" \
        --lock builders/onnxruntime-1.31.lock --runtime cam-day,cam-edge,cam-lowlight --tier production "$@"
}

new 1.0.0 sha256:0def1af0405dfaff46ad850b25d5cf6bbbe9e29c08e8b7def68cdf97d6c9c590 inference-stretch.yaml "$@"
new 1.1.0 sha256:c146979c9300cdb602360b8cd76bc0a2c13c3a97c487300678bafd84895836ef inference-stretch.yaml --supersedes 1.0.0 "$@"
new 1.2.0 sha256:937757cc6241ffa74679e104410c954bb10bf80319cfcc02e961295d7b0d764f inference-scale.yaml --supersedes 1.1.0 "$@"
