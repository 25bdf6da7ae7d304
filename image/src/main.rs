//! Builds the box image: kernel, modules, initramfs, UKI, GPT disk, bill of materials.

fn main() {}
