"""DoRA-ICM: what is coded are features of an adapted backbone, what is decoded is a task's prediction."""
