#!/usr/bin/env bash
# Verification data as jobs that hold a GPU only while the policy answers: an array that samples, an array without GPUs
# that asks the expert, and a job that merges all parts into /abs/build/train.parquet with its report. Run it on a login
# node; it submits verify_build.sbatch and ends.
#
#   examples/slurm/verify_build.sh [options of sbatch] 8 /abs/build prompts=/abs/prompts.parquet \
#       policy.model=/abs/model expert.model=NAME expert.url=https://.../v1 expert.api_key_env=MY_KEY
#
# The same line goes on where an earlier one stopped: what is stored is not asked for again. An option has the form
# --name=value, and holds for all three. The last line printed is the number of the merging job, for --dependency.
#
#   CPU_OPTIONS  options of sbatch for the jobs without a GPU, e.g. --partition=cpu
set -euo pipefail
options=()
while [[ ${1:-} == -* ]]; do
    options+=("$1")
    shift
done
parts=${1:?the number of parts}
out=${2:?the folder to build in}
shift 2
script=$(dirname "$0")/verify_build.sbatch
read -ra cpu_options <<<"${CPU_OPTIONS:-}"

# Words that cannot be read are named here, and not when the jobs' turn has come.
sinternal-verl verify build "$@" --cfg job >/dev/null

submit() { STAGE=$1 sbatch --parsable "${options[@]}" "${@:2}"; }
all="--array=0-$((parts - 1))" cpu=(--gpus-per-node=0 "${cpu_options[@]}") last=()
# An expert without an address runs in the job, and needs the GPU as well.
elsewhere=
for word in "$@"; do
    [[ $word != expert.url=* ]] || elsewhere=${word#expert.url=}
done
if [[ -n $elsewhere && $elsewhere != null ]]; then
    sampling=$(submit sample "$all" "$script" "$parts" "$out" "$@")
    echo "sampling: $sampling" >&2
    last=("${cpu[@]}" --dependency="aftercorr:$sampling" --kill-on-invalid-dep=yes)
fi
build=$(submit build "$all" "${last[@]}" "$script" "$parts" "$out" "$@")
echo "critiques and selection: $build" >&2
merging=$(submit merge --array=0 "${cpu[@]}" --dependency="afterany:$build" "$script" "$parts" "$out" "$@")
echo "merging: $merging" >&2
echo "$merging"
