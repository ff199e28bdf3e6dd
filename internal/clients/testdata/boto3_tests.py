"""The endpoint as boto3 sees it: every request member, paginators, waiters, filters, errors.

Environment: EC2_IMAGES is the directory of the bucket "images", EC2_SLOW_URL an endpoint of its own whose imports take an hour. disk.vhd in the
bucket is an image, broken.vhd is none.
"""

import datetime
import os
import time
import unittest
import uuid

import boto3
from botocore.exceptions import ClientError, WaiterError

UTC = datetime.timezone.utc
DISK = {"Format": "VHD", "UserBucket": {"S3Bucket": "images", "S3Key": "disk.vhd"}}
OWNER = "111122223333"


def wait(ec2, task):
    ec2.get_waiter("snapshot_imported").wait(ImportTaskIds=[task], WaiterConfig={"Delay": 0.1, "MaxAttempts": 600})


def until(condition):
    """Waits for what nobody tells of; a busy machine takes its time."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "still not so after two minutes"
        time.sleep(0.05)


def detail(ec2, task):
    (found,) = ec2.describe_import_snapshot_tasks(ImportTaskIds=[task])["ImportSnapshotTasks"]
    return found["SnapshotTaskDetail"]


def imported(ec2, **request):
    task = ec2.import_snapshot(**{"DiskContainer": DISK, **request})["ImportTaskId"]
    wait(ec2, task)
    return task, detail(ec2, task)["SnapshotId"]


def without_metadata(answer):
    answer.pop("ResponseMetadata")
    return answer


class Clients(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.ec2 = boto3.client("ec2")

    def refused(self, code, call, *message, status=400, **request):
        with self.assertRaises(ClientError) as caught:
            call(**request)
        error = caught.exception.response
        self.assertEqual((code, status), (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]), error)
        self.assertEqual(36, len(error["ResponseMetadata"]["RequestId"]))
        self.assertEqual(0, error["ResponseMetadata"]["RetryAttempts"])
        for part in message:
            self.assertIn(part, error["Error"]["Message"])


class Import(Clients):
    # Every member, with a value that differs from it: a request with the same token and one member changed is another request.
    REQUEST = {
        "ClientData": {
            "Comment": "c",
            "UploadStart": datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, UTC),
            "UploadEnd": datetime.datetime(2026, 1, 2, 3, 5, 5, tzinfo=UTC),
            "UploadSize": 1.0,
        },
        "Description": "my disk",
        "DiskContainer": {"Description": "container", **DISK},
        "Encrypted": True,
        "KmsKeyId": "alias/mine",
        "RoleName": "vmimport",
        "TagSpecifications": [{"ResourceType": "import-snapshot-task", "Tags": [{"Key": "Name", "Value": "disk <1> & \"é\""}, {"Key": "empty", "Value": ""}]}],
    }

    def test_life(self):
        request = {**self.REQUEST, "ClientToken": str(uuid.uuid4())}
        model = self.ec2.meta.service_model.operation_model("ImportSnapshot").input_shape
        self.assertEqual(set(model.members) - {"DryRun"}, set(request), "the members of the request, in botocore's model and here")
        started = without_metadata(self.ec2.import_snapshot(**request))
        task = started["ImportTaskId"]
        self.assertRegex(task, "^import-snap-[0-9a-f]{17}$")
        key = started["SnapshotTaskDetail"]["KmsKeyId"]
        self.assertRegex(key, "^arn:aws:kms:us-east-1:111122223333:key/[0-9a-f-]{36}$")
        expected = {
            "ImportTaskId": task,
            "Description": "my disk",
            "SnapshotTaskDetail": {
                "Description": "my disk",
                "DiskImageSize": 0.0,
                "Encrypted": True,
                "Format": "VHD",
                "KmsKeyId": key,
                "Progress": "0",
                "Status": "active",
                "StatusMessage": "pending",
                "UserBucket": {"S3Bucket": "images", "S3Key": "disk.vhd"},
            },
            "Tags": request["TagSpecifications"][0]["Tags"],
        }
        self.assertEqual(expected, started)
        wait(self.ec2, task)
        self.assertEqual(task, self.ec2.import_snapshot(**request)["ImportTaskId"], "the same token, the same request")

        answer = without_metadata(self.ec2.describe_import_snapshot_tasks(ImportTaskIds=[task]))
        done = answer["ImportSnapshotTasks"][0]["SnapshotTaskDetail"]
        for gone in "Progress", "StatusMessage":
            del expected["SnapshotTaskDetail"][gone]
        expected["SnapshotTaskDetail"].update(
            Status="completed", SnapshotId=done["SnapshotId"], DiskImageSize=float(os.path.getsize(os.path.join(os.environ["EC2_IMAGES"], "disk.vhd")))
        )
        self.assertEqual({"ImportSnapshotTasks": [expected]}, answer)

        (snapshot,) = self.ec2.describe_snapshots(SnapshotIds=[done["SnapshotId"]])["Snapshots"]
        start, end = snapshot.pop("StartTime"), snapshot.pop("CompletionTime")
        self.assertLessEqual(start, end)
        self.assertLess(datetime.datetime.now(UTC) - end, datetime.timedelta(minutes=10))
        self.assertGreater(snapshot.pop("FullSnapshotSizeInBytes"), 0)
        self.assertEqual(
            {
                "SnapshotId": done["SnapshotId"],
                "VolumeId": "vol-ffffffff",
                "State": "completed",
                "Progress": "100%",
                "OwnerId": OWNER,
                "Description": "Created by AWS-VMImport service for " + task,
                "VolumeSize": 1,
                "Encrypted": True,
                "KmsKeyId": key,
                "StorageTier": "standard",
            },
            snapshot,
        )
        self.ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[done["SnapshotId"]], WaiterConfig={"Delay": 1, "MaxAttempts": 1})

    def test_each_member_counts(self):
        request = {**self.REQUEST, "ClientToken": str(uuid.uuid4())}
        self.ec2.import_snapshot(**request)
        client, container = request["ClientData"], request["DiskContainer"]
        changes = [
            {"ClientData": {**client, "Comment": "d"}},
            {"ClientData": {**client, "UploadStart": client["UploadEnd"]}},
            {"ClientData": {**client, "UploadEnd": client["UploadStart"]}},
            {"ClientData": {**client, "UploadSize": 2.0}},
            {"Description": "other"},
            {"DiskContainer": {**container, "Description": "other"}},
            {"DiskContainer": {**container, "Format": "RAW"}},
            {"DiskContainer": {**container, "UserBucket": {"S3Bucket": "other", "S3Key": "disk.vhd"}}},
            {"DiskContainer": {**container, "UserBucket": {"S3Bucket": "images", "S3Key": "broken.vhd"}}},
            {"DiskContainer": {"Description": "container", "Format": "VHD", "Url": "s3://images/disk.vhd"}},
            {"KmsKeyId": "alias/other"},
            {"RoleName": "other"},
            {"TagSpecifications": [{"ResourceType": "import-snapshot-task", "Tags": [{"Key": "Name", "Value": "other"}]}]},
        ]
        for change in changes:
            with self.subTest(change=change):
                self.refused("IdempotentParameterMismatch", self.ec2.import_snapshot, **{**request, **change})
        plain = {key: value for key, value in request.items() if key not in ("Encrypted", "KmsKeyId")}
        self.refused("IdempotentParameterMismatch", self.ec2.import_snapshot, **plain)

    def test_url_without_anything_else(self):
        task = self.ec2.import_snapshot(DiskContainer={"Url": "s3://images/disk.vhd"})["ImportTaskId"]
        wait(self.ec2, task)
        done = detail(self.ec2, task)
        self.assertEqual("s3://images/disk.vhd", done["Url"])
        self.assertEqual({"S3Bucket": "images", "S3Key": "disk.vhd"}, done["UserBucket"])
        self.assertEqual("VHD", done["Format"])
        for absent in "Description", "Encrypted", "KmsKeyId", "Progress", "StatusMessage":
            self.assertNotIn(absent, done)


class EveryMember(Clients):
    """Each action that is served takes every member that botocore's model knows, by the name that goes over the wire."""

    REQUESTS = {
        "ImportSnapshot": {**Import.REQUEST, "ClientToken": "t"},
        "DescribeImportSnapshotTasks": {"Filters": [{"Name": "task-state", "Values": ["active"]}], "ImportTaskIds": ["import-snap-0123456789abcdef0"], "MaxResults": 5, "NextToken": ""},
        "CancelImportTask": {"ImportTaskId": "import-snap-0123456789abcdef0", "CancelReason": "r"},
        "DescribeSnapshots": {
            "Filters": [{"Name": "status", "Values": ["completed"]}], "MaxResults": 5, "NextToken": "", "OwnerIds": ["self"],
            "RestorableByUserIds": ["self"], "SnapshotIds": None,  # not together with MaxResults: below
        },
        "DeleteSnapshot": {"SnapshotId": "snap-0123456789abcdef0"},
        "CreateTags": {"Resources": ["snap-0123456789abcdef0"], "Tags": [{"Key": "a", "Value": "b"}]},
        "DeleteTags": {"Resources": ["snap-0123456789abcdef0"], "Tags": [{"Key": "a", "Value": "b"}]},
        "DescribeTags": {"Filters": [{"Name": "key", "Values": ["a"]}], "MaxResults": 5, "NextToken": ""},
        "ModifySnapshotTier": {"SnapshotId": "snap-0123456789abcdef0", "StorageTier": "archive"},
        "RestoreSnapshotTier": {"SnapshotId": "snap-0123456789abcdef0", "TemporaryRestoreDays": 3, "PermanentRestore": False},
        "DescribeSnapshotTierStatus": {"Filters": [{"Name": "snapshot-id", "Values": ["snap-0123456789abcdef0"]}], "MaxResults": 5, "NextToken": ""},
    }

    def test_every_member(self):
        methods = {operation: method for method, operation in self.ec2.meta.method_to_api_mapping.items()}
        for operation, request in self.REQUESTS.items():
            with self.subTest(operation=operation):
                members = set(self.ec2.meta.service_model.operation_model(operation).input_shape.members)
                self.assertEqual(members - {"DryRun"}, set(request))
                request = {name: value for name, value in request.items() if value is not None}
                self.refused("DryRunOperation", getattr(self.ec2, methods[operation]), DryRun=True, status=412, **request)
        self.refused("DryRunOperation", self.ec2.describe_snapshots, DryRun=True, SnapshotIds=["snap-0123456789abcdef0"], status=412)


class Lists(Clients):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # A Region of their own, so that nothing else is in the lists.
        cls.ec2 = boto3.client("ec2", region_name="eu-west-1")
        cls.made = []
        for i in range(6):
            encrypted = {"Encrypted": True} if i == 1 else {}
            tags = [{"Key": "Name", "Value": f"disk-{i}"}]
            specification = [{"ResourceType": "import-snapshot-task", "Tags": tags}]
            task, snapshot = imported(cls.ec2, Description=f"number {i}", TagSpecifications=specification, **encrypted)
            cls.ec2.create_tags(Resources=[snapshot], Tags=tags + ([{"Key": "odd", "Value": ""}] if i % 2 else []))
            cls.made.append((task, snapshot))
        cls.tasks, cls.snapshots = [task for task, _ in cls.made], [snapshot for _, snapshot in cls.made]
        cls.failed = cls.ec2.import_snapshot(DiskContainer={"Url": "s3://images/broken.vhd"})["ImportTaskId"]
        until(lambda: detail(cls.ec2, cls.failed)["Status"] == "deleted")
        cls.ec2.modify_snapshot_tier(SnapshotId=cls.snapshots[5], StorageTier="archive")
        until(lambda: cls.ec2.describe_snapshots(SnapshotIds=[cls.snapshots[5]])["Snapshots"][0]["StorageTier"] == "archive")

    def pages(self, operation, result, **arguments):
        return [page[result] for page in self.ec2.get_paginator(operation).paginate(**arguments)]

    def test_task_pages(self):
        pages = self.pages("describe_import_snapshot_tasks", "ImportSnapshotTasks", PaginationConfig={"PageSize": 3})
        self.assertEqual([3, 3, 1], [len(page) for page in pages])
        self.assertEqual(self.tasks + [self.failed], [task["ImportTaskId"] for page in pages for task in page])
        pages = self.pages(
            "describe_import_snapshot_tasks", "ImportSnapshotTasks", PaginationConfig={"PageSize": 1}, Filters=[{"Name": "task-state", "Values": ["completed"]}]
        )
        self.assertEqual(self.tasks, [task["ImportTaskId"] for page in pages for task in page])

    def test_snapshot_pages(self):
        pages = self.pages("describe_snapshots", "Snapshots", OwnerIds=["self"], PaginationConfig={"PageSize": 5})
        self.assertEqual([5, 1], [len(page) for page in pages])
        self.assertEqual(self.snapshots, [snapshot["SnapshotId"] for page in pages for snapshot in page])

    def test_tag_pages(self):
        pages = self.pages("describe_tags", "Tags", PaginationConfig={"PageSize": 5})
        self.assertEqual([5, 5, 5], [len(page) for page in pages])  # 6 tasks, 6 snapshots, 3 of them odd
        got = sorted((tag["ResourceType"], tag["ResourceId"], tag["Key"], tag["Value"]) for page in pages for tag in page)
        want = [("import-snapshot-task", task, "Name", f"disk-{i}") for i, task in enumerate(self.tasks)]
        want += [("snapshot", snapshot, "Name", f"disk-{i}") for i, snapshot in enumerate(self.snapshots)]
        want += [("snapshot", self.snapshots[i], "odd", "") for i in (1, 3, 5)]
        self.assertEqual(sorted(want), got)

    def test_tier_pages(self):
        pages = self.pages("describe_snapshot_tier_status", "SnapshotTierStatuses", PaginationConfig={"PageSize": 5})
        self.assertEqual([5, 1], [len(page) for page in pages])
        self.assertEqual(self.snapshots, [status["SnapshotId"] for page in pages for status in page])

    def test_task_filters(self):
        for filters, want in [
            ({"task-state": ["completed"]}, self.tasks),
            ({"task-state": ["deleted"]}, [self.failed]),
            ({"task-state": ["active", "deleting"]}, []),
            ({"tag:Name": ["disk-2", "disk-4"]}, [self.tasks[2], self.tasks[4]]),
            ({"tag-key": ["Name"], "tag:Name": ["*-3"]}, [self.tasks[3]]),
        ]:
            with self.subTest(filters=filters):
                answer = self.ec2.describe_import_snapshot_tasks(Filters=[{"Name": name, "Values": values} for name, values in filters.items()])
                self.assertEqual(want, [task["ImportTaskId"] for task in answer["ImportSnapshotTasks"]])

    def test_snapshot_filters(self):
        """Every filter that the documentation of DescribeSnapshots names."""
        everything = self.snapshots
        start = self.ec2.describe_snapshots(SnapshotIds=[everything[0]])["Snapshots"][0]["StartTime"]
        start = start.strftime("%Y-%m-%dT%H:%M:%S.") + f"{start.microsecond // 1000:03}Z"
        cases = [
            ("description", ["Created by AWS-VMImport service for " + self.tasks[0], "*" + self.tasks[3]], [everything[0], everything[3]]),
            ("encrypted", ["true"], [everything[1]]),
            ("owner-alias", ["amazon"], []),
            ("owner-id", [OWNER], everything),
            ("progress", ["100%"], everything),
            ("snapshot-id", [everything[4]], [everything[4]]),
            ("start-time", [start], [everything[0]]),
            ("status", ["pending", "error"], []),
            ("storage-tier", ["archive"], [everything[5]]),
            ("tag-key", ["odd"], [everything[1], everything[3], everything[5]]),
            ("tag:Name", ["disk-?"], everything),
            ("tag:odd", [""], [everything[1], everything[3], everything[5]]),
            ("transfer-type", ["standard"], everything),
            ("volume-id", ["vol-ffffffff"], everything),
            ("volume-size", ["2"], []),
        ]
        documented = self.ec2.meta.service_model.operation_model("DescribeSnapshots").input_shape.members["Filters"].documentation
        for name, values, want in cases:
            with self.subTest(filter=name):
                self.assertIn(f"<code>{name.split(':')[0]}", documented)
                answer = self.ec2.describe_snapshots(Filters=[{"Name": name, "Values": values}])
                self.assertEqual(want, [snapshot["SnapshotId"] for snapshot in answer["Snapshots"]])
        self.assertEqual(documented.count("<li>"), len({name.split(":")[0] for name, _, _ in cases}), documented)

    def test_tag_filters(self):
        for filters, want in [
            ({"key": ["odd"]}, 3),
            ({"resource-id": [self.tasks[0], self.snapshots[0]]}, 2),
            ({"resource-type": ["snapshot"]}, 9),
            ({"tag:Name": ["disk-1"]}, 2),
            ({"value": ["disk-1"], "resource-type": ["snapshot"]}, 1),
        ]:
            with self.subTest(filters=filters):
                answer = self.ec2.describe_tags(Filters=[{"Name": name, "Values": values} for name, values in filters.items()])
                self.assertEqual(want, len(answer["Tags"]), answer["Tags"])

    def test_owners(self):
        def found(**arguments):
            return [snapshot["SnapshotId"] for snapshot in self.ec2.describe_snapshots(**arguments)["Snapshots"]]

        self.assertEqual(self.snapshots, found(OwnerIds=["self"], RestorableByUserIds=["self"]))
        self.assertEqual(self.snapshots, found(OwnerIds=[OWNER, "amazon"]))
        self.assertEqual([], found(OwnerIds=["amazon"]))
        self.assertEqual([], found(OwnerIds=["444455556666"]))

    def test_refusals(self):
        tasks, snapshots, tags = self.ec2.describe_import_snapshot_tasks, self.ec2.describe_snapshots, self.ec2.describe_tags
        self.refused("InvalidParameterValue", snapshots, "'colour'", Filters=[{"Name": "colour", "Values": ["red"]}])
        self.refused("InvalidParameterValue", snapshots, MaxResults=4)
        self.refused("InvalidPaginationToken", snapshots, NextToken="x")
        self.refused("InvalidParameterCombination", snapshots, MaxResults=5, SnapshotIds=[self.snapshots[0]])
        self.refused("InvalidSnapshot.NotFound", snapshots, "snap-0123456789abcdef0", SnapshotIds=[self.snapshots[0], "snap-0123456789abcdef0"])
        self.refused("InvalidUserID.Malformed", snapshots, OwnerIds=["me"])
        self.refused("InvalidConversionTaskId.Malformed", tasks, "not found", ImportTaskIds=["import-snap-0123456789abcdef0"])
        # A token is for its own call only.
        token = tags(MaxResults=5)["NextToken"]
        self.refused("InvalidPaginationToken", tasks, NextToken=token)


class Refusals(Clients):
    def test_import(self):
        for code, message, request in [
            ("MissingParameter", "DiskContainer.Url", {"DiskContainer": {"Format": "RAW"}}),
            ("MissingParameter", "S3Key", {"DiskContainer": {"UserBucket": {"S3Bucket": "images"}}}),
            ("InvalidParameterCombination", "DiskContainer.Url", {"DiskContainer": {**DISK, "Url": "s3://images/disk.vhd"}}),
            ("InvalidParameter", "has an invalid format", {"DiskContainer": {**DISK, "Format": "QCOW2"}}),
            ("InvalidParameter", "(images/none)", {"DiskContainer": {"Url": "s3://images/none"}}),
            ("InvalidParameter", "(none/disk.vhd)", {"DiskContainer": {"Url": "s3://none/disk.vhd"}}),
            ("InvalidParameter", "(images/../disk.vhd)", {"DiskContainer": {"Url": "s3://images/../disk.vhd"}}),
            ("InvalidParameterDependency", "Encrypted", {"DiskContainer": DISK, "KmsKeyId": "alias/mine"}),
            ("InvalidParameterValue", "eu-west-1", {"DiskContainer": DISK, "Encrypted": True, "KmsKeyId": "arn:aws:kms:eu-west-1:111122223333:alias/a"}),
            ("InvalidParameterValue", "clientToken", {"DiskContainer": DISK, "ClientToken": "é"}),
            ("InvalidParameterValue", "aws:", {"DiskContainer": DISK, "TagSpecifications": [{"ResourceType": "import-snapshot-task", "Tags": [{"Key": "aws:a", "Value": ""}]}]}),
        ]:
            with self.subTest(request=request):
                self.refused(code, self.ec2.import_snapshot, message, **request)

    def test_others(self):
        ec2 = self.ec2
        gone = "snap-0123456789abcdef0"
        self.refused("InvalidSnapshot.NotFound", ec2.delete_snapshot, f"The snapshot '{gone}' does not exist.", SnapshotId=gone)
        self.refused("InvalidSnapshot.NotFound", ec2.create_tags, Resources=[gone], Tags=[{"Key": "a", "Value": "b"}])
        self.refused("InvalidSnapshot.NotFound", ec2.modify_snapshot_tier, SnapshotId=gone, StorageTier="archive")
        self.refused("InvalidParameterValue", ec2.modify_snapshot_tier, SnapshotId=gone, StorageTier="standard")
        self.refused("InvalidParameterCombination", ec2.restore_snapshot_tier, SnapshotId=gone, TemporaryRestoreDays=3, PermanentRestore=True)
        self.refused("InvalidParameterValue", ec2.restore_snapshot_tier, SnapshotId=gone, TemporaryRestoreDays=181)
        self.refused("InvalidParameterValue", ec2.delete_snapshot, SnapshotId="ami-12345678")
        self.refused("InvalidConversionTaskId.Malformed", ec2.cancel_import_task, ImportTaskId="import-ami-1")
        self.refused("InvalidAction", ec2.import_image, "ImportImage", DiskContainers=[{"Url": "s3://images/disk.vhd"}])
        task, snapshot = imported(ec2)
        self.refused("InvalidParameter", ec2.cancel_import_task, "it is completed", ImportTaskId=task)
        self.refused("IncorrectState", ec2.restore_snapshot_tier, SnapshotId=snapshot)
        tags = [{"Key": f"k{i}", "Value": "v"} for i in range(50)]
        ec2.create_tags(Resources=[snapshot], Tags=tags)
        self.refused("TagLimitExceeded", ec2.create_tags, Resources=[snapshot], Tags=[{"Key": "one more", "Value": "v"}])

    def test_identity(self):
        sts = boto3.client("sts")
        answer = without_metadata(sts.get_caller_identity())
        self.assertEqual({"Account": OWNER, "UserId": OWNER, "Arn": f"arn:aws:iam::{OWNER}:root"}, answer)
        self.refused("InvalidAction", sts.get_session_token)


class Ends(Clients):
    def test_failing_import(self):
        task = self.ec2.import_snapshot(DiskContainer={"Format": "VHD", "Url": "s3://images/broken.vhd"})["ImportTaskId"]
        until(lambda: detail(self.ec2, task)["Status"] == "deleted")
        # deleted is no end that the waiter knows: as on AWS it looks until its attempts are used up, with the reason in its last answer.
        with self.assertRaises(WaiterError) as caught:
            self.ec2.get_waiter("snapshot_imported").wait(ImportTaskIds=[task], WaiterConfig={"Delay": 0.2, "MaxAttempts": 5})
        self.assertIn("Max attempts exceeded", str(caught.exception))
        last = caught.exception.last_response["ImportSnapshotTasks"][0]["SnapshotTaskDetail"]
        self.assertEqual(
            {
                "DiskImageSize": 0.0,
                "Format": "VHD",
                "Status": "deleted",
                "StatusMessage": "ClientError: Disk validation failed [Unsupported specified file format]",
                "Url": "s3://images/broken.vhd",
                "UserBucket": {"S3Bucket": "images", "S3Key": "broken.vhd"},
            },
            last,
        )
        self.refused("InvalidParameter", self.ec2.cancel_import_task, "it is deleted", ImportTaskId=task)

    def test_cancel(self):
        slow = boto3.client("ec2", endpoint_url=os.environ["EC2_SLOW_URL"])
        task = slow.import_snapshot(DiskContainer=DISK)["ImportTaskId"]
        active = detail(slow, task)
        self.assertEqual(("active", "", "0"), (active["Status"], active["SnapshotId"], active["Progress"]))
        answer = without_metadata(slow.cancel_import_task(ImportTaskId=task, CancelReason="changed my mind"))
        self.assertEqual({"ImportTaskId": task, "PreviousState": "active", "State": "deleting"}, answer)
        until(lambda: detail(slow, task)["Status"] != "deleting")
        self.assertEqual(("deleted", "changed my mind"), (detail(slow, task)["Status"], detail(slow, task)["StatusMessage"]))
        self.assertEqual([], slow.describe_snapshots()["Snapshots"])

    def test_resource_interface(self):
        """boto3's objects: they hand identifiers around, and fold answers into attributes."""
        _, snapshot = imported(self.ec2)
        thing = boto3.resource("ec2").Snapshot(snapshot)
        self.assertEqual(("completed", 1, OWNER), (thing.state, thing.volume_size, thing.owner_id))
        self.assertEqual([{"Key": "a", "Value": "b"}], [{"Key": t.key, "Value": t.value} for t in thing.create_tags(Tags=[{"Key": "a", "Value": "b"}])])
        thing.reload()
        self.assertEqual([{"Key": "a", "Value": "b"}], thing.tags)
        thing.delete()
        self.refused("InvalidSnapshot.NotFound", thing.reload)


if __name__ == "__main__":
    unittest.main()
