"""Print the size and the SHA-256 of the disk in each VMDK that is named, as libvmdk reads it."""

import hashlib
import sys

import pyvmdk

for path in sys.argv[1:]:
    handle = pyvmdk.handle()
    handle.open(path)
    handle.open_extent_data_files()
    digest = hashlib.sha256()
    while piece := handle.read_buffer(1 << 20):
        digest.update(piece)
    print(handle.get_media_size(), digest.hexdigest())
