//! The unified kernel image: systemd's EFI stub with kernel, initramfs and command line as sections.
//!
//! Format: Microsoft PE/COFF specification, sections "COFF File Header", "Optional Header Windows-
//! Specific Fields" and "Section Table"; UAPI "Unified Kernel Image" for the names.

use crate::error::ImageError;

const E_LFANEW: usize = 0x3C;
const COFF_BYTES: usize = 24;
const COFF_SECTIONS: usize = 6;
const COFF_OPTIONAL_BYTES: usize = 20;
const OPTIONAL_SECTION_ALIGNMENT: usize = 32;
const OPTIONAL_FILE_ALIGNMENT: usize = 36;
const OPTIONAL_IMAGE_BYTES: usize = 56;
const OPTIONAL_HEADERS_BYTES: usize = 60;
const OPTIONAL_CHECKSUM: usize = 64;
const SECTION_BYTES: usize = 40;
/// `IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ`
const SECTION_FLAGS: u32 = 0x4000_0040;
/// The stub asks for 512 byte alignment; a page makes the sections usable in place.
const ADDRESS_ALIGNMENT: u32 = 4096;

/// Appends `sections` (name, content) to the EFI program `stub`.
pub fn build(stub: &[u8], sections: &[(&str, &[u8])]) -> Result<Vec<u8>, ImageError> {
    let layout = Layout::read(stub).ok_or(ImageError::BadStub)?;
    let count = layout.sections + sections.len();
    if layout.section_table + count * SECTION_BYTES > layout.headers_bytes {
        return Err(ImageError::NoRoomInStub { sections: count });
    }
    let mut image = stub.to_vec();
    image.resize(image.len().next_multiple_of(layout.file_alignment), 0);
    let mut address = layout.image_bytes.next_multiple_of(ADDRESS_ALIGNMENT);
    for (index, (name, content)) in sections.iter().enumerate() {
        let mut header = [0; SECTION_BYTES];
        let stored = content.len().next_multiple_of(layout.file_alignment);
        header[..name.len()].copy_from_slice(name.as_bytes());
        put(&mut header, 8, content.len() as u32);
        put(&mut header, 12, address);
        put(&mut header, 16, stored as u32);
        put(&mut header, 20, image.len() as u32);
        put(&mut header, 36, SECTION_FLAGS);
        let at = layout.section_table + (layout.sections + index) * SECTION_BYTES;
        image[at..at + SECTION_BYTES].copy_from_slice(&header);
        image.extend_from_slice(content);
        image.resize(image.len().next_multiple_of(layout.file_alignment), 0);
        address = (address + content.len() as u32).next_multiple_of(ADDRESS_ALIGNMENT);
    }
    image[layout.coff + COFF_SECTIONS..][..2].copy_from_slice(&(count as u16).to_le_bytes());
    put(
        &mut image,
        layout.optional + OPTIONAL_IMAGE_BYTES,
        address.next_multiple_of(layout.section_alignment),
    );
    // Firmware does not look at the checksum; zero says that there is none.
    put(&mut image, layout.optional + OPTIONAL_CHECKSUM, 0);
    Ok(image)
}

struct Layout {
    coff: usize,
    optional: usize,
    section_table: usize,
    sections: usize,
    section_alignment: u32,
    file_alignment: usize,
    image_bytes: u32,
    headers_bytes: usize,
}

impl Layout {
    fn read(stub: &[u8]) -> Option<Self> {
        let coff = read_u32(stub, E_LFANEW)? as usize;
        (stub.get(coff..coff + 4)? == b"PE\0\0").then_some(())?;
        let optional = coff + COFF_BYTES;
        let sections = usize::from(read_u16(stub, coff + COFF_SECTIONS)?);
        let optional_bytes = usize::from(read_u16(stub, coff + COFF_OPTIONAL_BYTES)?);
        let layout = Self {
            coff,
            optional,
            section_table: optional + optional_bytes,
            sections,
            section_alignment: read_u32(stub, optional + OPTIONAL_SECTION_ALIGNMENT)?,
            file_alignment: read_u32(stub, optional + OPTIONAL_FILE_ALIGNMENT)? as usize,
            image_bytes: read_u32(stub, optional + OPTIONAL_IMAGE_BYTES)?,
            headers_bytes: read_u32(stub, optional + OPTIONAL_HEADERS_BYTES)? as usize,
        };
        let sane = layout.file_alignment.is_power_of_two()
            && layout.section_alignment.is_power_of_two()
            && layout.headers_bytes <= stub.len();
        sane.then_some(layout)
    }
}

fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_le_bytes(*two))
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four))
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debian::STUB_PATH;

    #[test]
    fn the_stub_takes_the_four_sections_and_keeps_its_own() {
        let stub = std::fs::read(STUB_PATH).unwrap();
        let before = Layout::read(&stub).unwrap();
        let parts: [(&str, &[u8]); 4] =
            [(".osrel", b"ID=x"), (".cmdline", b"quiet"), (".linux", &[1; 5000]), (".initrd", &[2; 700])];
        let image = build(&stub, &parts).unwrap();
        let after = Layout::read(&image).unwrap();
        assert_eq!(after.sections, before.sections + 4);
        let header = &image[after.section_table + (after.sections - 2) * SECTION_BYTES..][..SECTION_BYTES];
        assert_eq!(&header[..6], b".linux");
        let address = read_u32(header, 12).unwrap();
        assert!(address >= before.image_bytes && address + 5000 <= after.image_bytes);
        let at = read_u32(header, 20).unwrap() as usize;
        assert_eq!(image[at..at + 5000], [1; 5000]);
    }

    #[test]
    fn something_that_is_no_stub_is_refused() {
        assert!(matches!(build(&[0; 4096], &[]), Err(ImageError::BadStub)));
        assert!(matches!(build(b"MZ", &[]), Err(ImageError::BadStub)));
    }
}
