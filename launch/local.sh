#!/usr/bin/env bash
# N processes of one training on this machine.
#
#   launch/local.sh 2 --config=configs/base_tic.py --config.data.folder=PHOTOS --workdir=runs/base_tic
#
# Every process gets the GPUs CUDA_VISIBLE_DEVICES gives it: with as many GPUs as processes set ICM_SPLIT_GPUS=1, and
# process i sees GPU i alone. SIGTERM is passed on, so that the run saves itself. When one process fails, all end.
set -euo pipefail
if [[ $# -lt 2 || ! $1 =~ ^[1-9][0-9]*$ ]]; then
  sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
count=$1
shift
if [[ $count -gt 1 ]]; then
  export ICM_COORDINATOR=${ICM_COORDINATOR:-127.0.0.1:$((20000 + RANDOM % 20000))} ICM_NUM_PROCESSES=$count
fi

pids=()
trap 'kill -TERM "${pids[@]}" 2>/dev/null || true' TERM INT
for ((i = 0; i < count; i++)); do
  if [[ -n ${ICM_SPLIT_GPUS:-} ]]; then export CUDA_VISIBLE_DEVICES=$i; fi
  ICM_PROCESS_ID=$i ${PYTHON:-python} -m icm_jax.main "$@" &
  pids+=($!)
done

status=0
for ((left = count; left > 0; left--)); do
  code=0
  wait -n "${pids[@]}" || code=$?
  if [[ $code -gt 128 && -n $(jobs -pr) ]]; then # a signal ended the wait, not a process
    left=$((left + 1))
    continue
  fi
  if [[ $code -ne 0 && $status -eq 0 ]]; then
    status=$code
    if [[ $code -ne ${ICM_RESUME_EXIT_CODE:-0} ]]; then kill -TERM "${pids[@]}" 2>/dev/null || true; fi
  fi
done
exit $status
