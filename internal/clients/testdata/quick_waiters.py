"""Writes botocore's own waiters for EC2 into a model directory (AWS_DATA_PATH), with its acceptors untouched, but 3 looks, a second apart."""

import json
import os
import sys

import botocore.session

model = botocore.session.get_session().get_component("data_loader").load_service_model("ec2", "waiters-2")
model["waiters"]["SnapshotImported"].update(delay=1, maxAttempts=3)
directory = os.path.join(sys.argv[1], "ec2", "2016-11-15")
os.makedirs(directory)
with open(os.path.join(directory, "waiters-2.json"), "w") as file:
    json.dump(model, file)
