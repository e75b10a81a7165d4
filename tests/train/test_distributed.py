"""A job's processes from environment variables."""

import pytest

from icm_jax.errors import IcmError
from icm_jax.train.distributed import Job, find_job

PLAIN = {"ICM_COORDINATOR": "host:1", "ICM_NUM_PROCESSES": "4", "ICM_PROCESS_ID": "2"}


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        ({}, None),
        (PLAIN, Job("host:1", 4, 2)),
        ({"ICM_COORDINATOR": "node7:9", "SLURM_NTASKS": "8", "SLURM_PROCID": "7"}, Job("node7:9", 8, 7)),
        ({**PLAIN, "ICM_PROCESS_ID": "", "JOB_COMPLETION_INDEX": "3"}, Job("host:1", 4, 3)),
        ({"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, None),
        ({**PLAIN, "ICM_NUM_PROCESSES": "1", "ICM_PROCESS_ID": "0"}, None),
    ],
)
def test_job_of_an_environment(environment, job) -> None:
    assert find_job(environment) == job


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"ICM_NUM_PROCESSES": "4"}, "ICM_COORDINATOR is not"),
        ({"ICM_COORDINATOR": "host:1"}, "needs ICM_NUM_PROCESSES and ICM_PROCESS_ID"),
        ({**PLAIN, "ICM_COORDINATOR": "host"}, "has no port"),
        ({**PLAIN, "ICM_PROCESS_ID": "4"}, "process 4 of 4 is impossible"),
        ({**PLAIN, "ICM_PROCESS_ID": "two"}, "must be a whole number"),
    ],
)
def test_impossible_environments_are_refused(environment, message) -> None:
    with pytest.raises(IcmError, match=message):
        find_job(environment)
