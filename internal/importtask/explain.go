package importtask

import "strings"

// Explanation says in a sentence or two each what a failure means and what to do. Users read it in a diagnostic, below EC2's own words.
type Explanation struct {
	Cause string
	Cure  string
	Blame Blame
}

// Blame is the part of the request that a failure points at.
type Blame string

const (
	BlameNone          Blame = ""
	BlameDiskContainer Blame = "disk_container" // the object in S3, or the way to it
	BlameFormat        Blame = "format"
	BlameRole          Blame = "role"
	BlameKMSKey        Blame = "kms_key"
	BlameTags          Blame = "tags"
	BlameClientToken   Blame = "client_token"
	BlameRegion        Blame = "region"
)

// NoReason stands for the message of a failed task that has none.
const NoReason = "(EC2 gives no reason)"

// ExplainTask explains how a failed task ended, by its StatusMessage, or by its status where it has none. It returns false for a message that is not in
// the catalogue.
func ExplainTask(t Task) (Explanation, bool) {
	message := t.Message()
	if message == "" {
		message = NoReason + " " + t.Status()
	}
	message = strings.ToLower(message)
	for _, f := range taskFailures {
		for _, text := range f.texts {
			if strings.Contains(message, text) {
				return f.Explanation, true
			}
		}
	}
	return Explanation{}, false
}

// What both EC2's answer and the message of a task may say.
var (
	localTrouble = Explanation{
		Cause: "The local endpoint could not make the volume on this machine: its data_dir is full, cannot be written, or is on a broken disk. " +
			"Neither AWS nor the image has a part in it.",
		Cure: "Make room in data_dir or let it be written, or name another directory (data_dir in local, --data-dir of serve, EC2_LOCAL_DATA_DIR), and import again.",
	}
	serviceRole = Explanation{
		Cause: "VM Import cannot use the service role: there is no role of this name in the account, its trust policy does not let vmie.amazonaws.com " +
			"assume it with the external id `vmimport`, it lacks rights on the bucket or the KMS key, " +
			"or the caller may not pass it (the root user never may).",
		Cure: "Check the role (`vmimport` where `role_name` is not set): trust vmie.amazonaws.com with sts:Externalid = vmimport, and allow " + rolePolicy +
			", ec2:ModifySnapshotAttribute, ec2:CopySnapshot, ec2:RegisterImage and ec2:Describe*. Customer KMS keys need their own rights.",
		Blame: BlameRole,
	}
	roleRights = Explanation{
		Cause: "VM Import has assumed the service role, but the role may not do what the message names.",
		Cure: "Allow the role " + rolePolicy + "; for objects encrypted with SSE-KMS also kms:Decrypt on their key, for a customer key of the snapshot " +
			kmsPolicy + ".",
		Blame: BlameRole,
	}
	noObject = Explanation{
		Cause: "The object is not there, or the caller of ImportSnapshot may not read it.",
		Cure: "Check bucket and key, letter by letter, and allow the caller's own credentials (not only the service role) s3:GetObject on the object " +
			"and s3:GetBucketLocation on the bucket.",
		Blame: BlameDiskContainer,
	}
	otherRegion = Explanation{
		Cause: "The bucket lies in another Region than the one the import was asked for. VM Import reads from its own Region only.",
		Cure:  "Import in the bucket's Region (argument `region`), or copy the object to a bucket in this Region.",
		Blame: BlameRegion,
	}
	badLocation = Explanation{
		Cause: "EC2 cannot make out a bucket and a key in what names the image.",
		Cure:  "Write `url` as s3://BUCKET/KEY, or give `user_bucket` its s3_bucket and s3_key.",
		Blame: BlameDiskContainer,
	}
)

const (
	// rolePolicy is what the service role needs on the bucket, and kmsPolicy on a customer key, for the cures.
	rolePolicy = "s3:GetObject on the object, and s3:GetBucketLocation and s3:ListBucket on the bucket"
	kmsPolicy  = "kms:CreateGrant, kms:Decrypt, kms:DescribeKey, kms:Encrypt, kms:GenerateDataKey* and kms:ReEncrypt*"
)

type taskFailure struct {
	texts []string // any of them, in lower case
	Explanation
}

// taskFailures is the catalogue of StatusMessages; the first entry that fits counts. EC2 has changed case and prefix of these texts over the
// years, so parts of them are matched, without case.
var taskFailures = []taskFailure{
	{[]string{"localerror"}, localTrouble}, // first, because it holds words of the operating system
	{[]string{"unsupported vmdk file format"}, Explanation{
		Cause: "The object is a VMDK, but not of the streamOptimized sub-format, which is the only one VM Import reads.",
		Cure:  "Convert the disk with `terraform-provider-ec2 convert --to vmdk SOURCE DISK.vmdk`, upload the result and import that.",
		Blame: BlameDiskContainer,
	}},
	{[]string{"unsupported specified file format"}, Explanation{
		Cause: "The object's content is not an image of the format that was given or detected; compressed files (.gz, .xz, .zip) end like this too.",
		Cure:  "Decompress the object, and make `format` say what it holds (raw, vhd, vhdx or vmdk), or convert the disk to raw and upload that.",
		Blame: BlameFormat,
	}},
	{[]string{"ova with chunked disk files", "unsupported ova format", "ovf file parsing error"}, Explanation{
		Cause: "The object is an OVA or a disk in several parts. ImportSnapshot takes one disk in one file.",
		Cure:  "Unpack the OVA with `tar -xf`, convert its disk to a streamOptimized VMDK or to raw, upload that and import it.",
		Blame: BlameDiskContainer,
	}},
	{[]string{"larger than 8 tib", "too large", "exceeds the maximum", "size limit"}, Explanation{
		Cause: "The disk is larger than VM Import takes: 16 TiB, and 8 TiB without a manifest, which ImportSnapshot has no place for.",
		Cure:  "Shrink the disk in the system that it comes from, or split its content over several disks.",
		Blame: BlameDiskContainer,
	}},
	{[]string{"does not exist or does not have sufficient permissions", "sts:assumerole"}, serviceRole},
	{[]string{"is not authorized to perform"}, roleRights},
	{[]string{"does not have access to the s3 object"}, noObject},
	{[]string{"not local to the region"}, otherRegion},
	{[]string{"invalid s3 source location"}, badLocation},
	{[]string{"reason 404", "404 not found"}, Explanation{
		Cause: "The object was no longer there when VM Import came to read it.",
		Cure: "Keep the object until the import has completed: where Terraform manages it, refer to the object's resource in `disk_container`, " +
			"so that it outlives the import.",
		Blame: BlameDiskContainer,
	}},
	{[]string{"we do not have access to the given resource", "403 forbidden", "accessdenied", "access denied"}, Explanation{
		Cause: "The service role cannot read the object: its policy or the bucket's does not allow it, " +
			"or it may not use the KMS key that the object is encrypted with.",
		Cure: "Allow the role s3:GetObject on the object, s3:GetBucketLocation and s3:ListBucket on the bucket, " +
			"and kms:Decrypt on the key of an object that is encrypted with SSE-KMS.",
		Blame: BlameRole,
	}},
	{[]string{"footers not identical"}, Explanation{
		Cause: "The two footers of the VHD differ: it is a differencing disk, or it is damaged.",
		// Not qemu-img convert: it takes a parent that it does not look for as zeros, and for most VHDs the geometry as the size.
		Cure: "Convert the original file, a differencing disk with its parents beside it, with " +
			"`terraform-provider-ec2 convert --to vmdk SOURCE.vhd DISK.vmdk`, and upload the result.",
		Blame: BlameDiskContainer,
	}},
	{[]string{"uncompressed data has an invalid length", "uncompressed data has invalid length"}, Explanation{
		Cause: "A compressed grain of the VMDK does not have the length its header says: the file is damaged.",
		Cure:  "Compare the object with the original file, and upload it again; if they are the same, convert the disk again, to raw for example.",
		Blame: BlameDiskContainer,
	}},
	{[]string{"unsupported compression algorithm"}, Explanation{
		Cause: "The header of the VMDK says that its grains are not compressed. VM Import reads streamOptimized VMDKs only, which are.",
		Cure:  "Convert the disk with `terraform-provider-ec2 convert --to vmdk SOURCE DISK.vmdk` and upload the result.",
		Blame: BlameDiskContainer,
	}},
	{[]string{"image file was corrupted", "image file is corrupt"}, Explanation{
		Cause: "VM Import found the image damaged. Uploads that broke off and VMDKs written by unusual tools end like this.",
		Cure:  "Compare the object's size and checksum with the original file and upload it again, or convert the disk to raw and upload that.",
		Blame: BlameDiskContainer,
	}},
	{[]string{"invalidkmskey", "kms key", "kmskey"}, Explanation{
		Cause: "The snapshot could not be encrypted: the KMS key is disabled or pending deletion, lies in another Region, " +
			"or the service role has no right to use it. EC2 checks the key only while the import runs.",
		Cure:  "Use an enabled symmetric key of the same Region, and allow the role " + kmsPolicy + " on it.",
		Blame: BlameKMSKey,
	}},
	{[]string{
		"unsupported kernel version", "no valid partitions", "not a valid volume", "unknown os", "missing os files", "efi partition detected",
		"grub/menu.lst", "firstbootfailure", "no bootable partition", "could not read fstab", "blsc-style grub", "initramfs/initrd", "unsupported configuration",
	}, Explanation{
		Cause: "VM Import looked for an operating system inside the disk. ImportImage does that; ImportSnapshot is not known to.",
		Cure:  "Import the disk again; if the message comes back, report it to AWS Support with the id of the task.",
		Blame: BlameDiskContainer,
	}},
	{[]string{"servererror", "server error", "internal error", "internalerror"}, Explanation{
		Cause: "VM Import failed on AWS's side; the image is not to blame.",
		Cure:  "Import again; if it keeps failing, report it to AWS Support with the id of the task.",
	}},
	{[]string{"disk validation failed"}, Explanation{
		Cause: "VM Import read the object and found that it is no disk image it takes; its own words in the brackets say why.",
		Cure:  "Look at the image with `terraform-provider-ec2 inspect`; a raw image, or a VMDK of sub-format streamOptimized, is the safest thing to upload.",
		Blame: BlameDiskContainer,
	}},
	{[]string{"cancel"}, Explanation{
		Cause: "The import was cancelled, by a call of CancelImportTask from somewhere.",
		Cure:  "Apply again to import anew.",
	}},
	{[]string{strings.ToLower(NoReason)}, Explanation{ // and the status tells nothing
		Cause: "The import was cancelled, by a call of CancelImportTask from somewhere, or VM Import gave it up without a word.",
		Cure:  "Apply again to import anew; if it ends like this again, look in CloudTrail for the call, or report it to AWS Support with the id of the task.",
	}},
}
