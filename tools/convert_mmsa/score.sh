#!/bin/sh
# From a pickle of features to scores: converts the clips beside the scores and scores them. Started again it goes on.
#
#     score.sh PICKLE MODEL SCORES [OPTIONS OF convert.py]
#
# SCORES ends in .jsonl or .csv. PYTHON names a Python with what requirements.txt lists, SENTIMENT a built program, which is
# otherwise built from this repository.
set -eu
if [ $# -lt 3 ]; then
    echo "usage: score.sh PICKLE MODEL SCORES [OPTIONS OF convert.py]" >&2
    exit 2
fi
pickle=$1 model=$2 scores=$3
shift 3
here=$(dirname "$0")
"${PYTHON:-python3}" "$here/convert.py" --like "$model" "$@" "$pickle" "$scores.data" >&2
if [ -n "${SENTIMENT:-}" ]; then
    exec "$SENTIMENT" score "$scores.data" --model "$model" --out "$scores"
fi
exec cargo run --release --quiet --manifest-path "$here/../../Cargo.toml" --example sentiment -- \
    score "$scores.data" --model "$model" --out "$scores"
