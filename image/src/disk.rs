//! The disk of a box.
//!
//! ```text
//! sector 0       protective MBR, GPT
//! 1 MiB          twinmail-slot-a   64 MiB  EFI system partition, FAT32: EFI/BOOT/BOOTX64.EFI
//! 65 MiB         twinmail-slot-b   64 MiB  the same
//! 129 MiB        twinmail-system    4 MiB  the box's own settings; zero until it is set up
//! 133 MiB        backup GPT         1 MiB
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Seek, SeekFrom, Write};
use std::path::Path;

use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::partition_types::{EFI, OperatingSystem, Type};
use uuid::{Uuid, uuid};

use crate::error::{ImageError, OnFile};

const MIB: u64 = 1024 * 1024;
const SECTOR_BYTES: u64 = 512;
const SLOT_BYTES: u64 = 64 * MIB;
const SYSTEM_BYTES: u64 = 4 * MIB;
const SLOT_A_AT: u64 = MIB;
const SLOT_B_AT: u64 = SLOT_A_AT + SLOT_BYTES;
const SYSTEM_AT: u64 = SLOT_B_AT + SLOT_BYTES;
/// Size of the whole disk, in bytes.
pub const DISK_BYTES: u64 = SYSTEM_AT + SYSTEM_BYTES + MIB;
/// Runs of zeros of this size are not written, and take no room on the host.
const HOLE_BYTES: usize = 64 * 1024;
/// Small enough that 64 MiB make a FAT32 and not a FAT16 (at least 65,525 clusters).
const CLUSTER_BYTES: u32 = 512;

const DISK_GUID: Uuid = uuid!("7477696e-6d61-4c00-8000-000000000000");
const SLOT_A_GUID: Uuid = uuid!("7477696e-6d61-4c00-8000-00000000000a");
const SLOT_B_GUID: Uuid = uuid!("7477696e-6d61-4c00-8000-00000000000b");
const SYSTEM_GUID: Uuid = uuid!("7477696e-6d61-4c00-8000-00000000000c");
/// Type of the system partition: nobody else's, so that nothing mounts it by itself.
const SYSTEM_TYPE: Uuid = uuid!("7477696e-6d61-4c01-8000-000000000001");
/// What init looks for.
const SYSTEM_NAME: &str = "twinmail-system";

/// Writes the disk to `path`, both slots with the same unified kernel image.
pub fn write(path: &Path, unified_image: &[u8]) -> Result<(), ImageError> {
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(path).on(path)?;
    file.set_len(DISK_BYTES).on(path)?;
    partition(&mut file)?;
    for (at, serial, label) in
        [(SLOT_A_AT, 0x7477_000A, b"TWINMAIL-A "), (SLOT_B_AT, 0x7477_000B, b"TWINMAIL-B ")]
    {
        let slot = boot_partition(unified_image, serial, *label).map_err(ImageError::Fat)?;
        write_sparse(&mut file, at, &slot).on(path)?;
    }
    file.sync_all().on(path)
}

fn partition(file: &mut File) -> Result<(), ImageError> {
    let failed = |error: &dyn std::fmt::Display| ImageError::Partitions(error.to_string());
    let sectors = u32::try_from(DISK_BYTES / SECTOR_BYTES - 1).unwrap_or(u32::MAX);
    ProtectiveMBR::with_lb_size(sectors).overwrite_lba0(file).map_err(|error| failed(&error))?;
    let mut disk = GptConfig::new()
        .writable(true)
        .logical_block_size(LogicalBlockSize::Lb512)
        .create_from_device(file, Some(DISK_GUID))
        .map_err(|error| failed(&error))?;
    let system = Type { guid: SYSTEM_TYPE, os: OperatingSystem::None };
    let table = [
        (EFI, SLOT_A_GUID, "twinmail-slot-a", SLOT_A_AT, SLOT_BYTES),
        (EFI, SLOT_B_GUID, "twinmail-slot-b", SLOT_B_AT, SLOT_BYTES),
        (system, SYSTEM_GUID, SYSTEM_NAME, SYSTEM_AT, SYSTEM_BYTES),
    ];
    let entry = |(kind, guid, name, at, bytes): (Type, Uuid, &str, u64, u64)| Partition {
        part_type_guid: kind,
        part_guid: guid,
        first_lba: at / SECTOR_BYTES,
        last_lba: (at + bytes) / SECTOR_BYTES - 1,
        flags: 0,
        name: name.to_owned(),
    };
    let partitions: BTreeMap<u32, Partition> = (1..).zip(table.map(entry)).collect();
    disk.update_partitions(partitions).map_err(|error| failed(&error))?;
    disk.write().map_err(|error| failed(&error))?;
    Ok(())
}

/// A FAT32 file system with the unified kernel image where firmware looks without being told
/// (UEFI specification 3.5.1.1, "Removable Media Boot Behavior").
fn boot_partition(unified_image: &[u8], serial: u32, label: [u8; 11]) -> std::io::Result<Vec<u8>> {
    let mut slot = vec![0; SLOT_BYTES as usize];
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(CLUSTER_BYTES)
        .volume_id(serial)
        .volume_label(label);
    fatfs::format_volume(Cursor::new(&mut slot), options)?;
    let filesystem = FileSystem::new(Cursor::new(&mut slot), FsOptions::new())?;
    {
        let folder = filesystem.root_dir().create_dir("EFI")?.create_dir("BOOT")?;
        folder.create_file("BOOTX64.EFI")?.write_all(unified_image)?;
    }
    filesystem.unmount()?;
    Ok(slot)
}

fn write_sparse(file: &mut File, at: u64, bytes: &[u8]) -> std::io::Result<()> {
    for (index, piece) in bytes.chunks(HOLE_BYTES).enumerate() {
        if piece.iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start(at + (index * HOLE_BYTES) as u64))?;
            file.write_all(piece)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_disk_has_its_three_partitions_and_both_slots_boot_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.img");
        let program: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        write(&path, &program).unwrap();

        let disk = GptConfig::new().open(&path).unwrap();
        let names: Vec<_> = disk.partitions().values().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["twinmail-slot-a", "twinmail-slot-b", "twinmail-system"]);

        let bytes = std::fs::read(&path).unwrap();
        for at in [SLOT_A_AT, SLOT_B_AT] {
            let slot = bytes[at as usize..(at + SLOT_BYTES) as usize].to_vec();
            let filesystem = FileSystem::new(Cursor::new(slot), FsOptions::new()).unwrap();
            assert_eq!(filesystem.fat_type(), FatType::Fat32);
            let mut found = Vec::new();
            filesystem.root_dir().open_file("EFI/BOOT/BOOTX64.EFI").unwrap().read_to_end(&mut found).unwrap();
            assert!(found == program);
        }
        assert!(bytes[SYSTEM_AT as usize..(SYSTEM_AT + SYSTEM_BYTES) as usize].iter().all(|byte| *byte == 0));
        assert!(std::fs::metadata(&path).unwrap().blocks() * 512 < DISK_BYTES / 4, "the file is not sparse");
    }
}
