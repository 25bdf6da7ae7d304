//! Whole messages: any bytes have a summary, its parts lie within the message, and every section can be cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use message::{DEPTH_MAX, PARTS_MAX, SectionSpec, SectionText, Structure, Summary, SummaryView, binary, section};

fuzz_target!(|raw: &[u8]| {
    let summary = Summary::of(raw);
    let bytes = summary.encode();
    let view = SummaryView::parse(&bytes).expect("its own format");
    assert_eq!(view.structure().as_ref(), Some(&summary.structure));
    assert!(summary.structure.parts.len() <= PARTS_MAX);
    for part in &summary.structure.parts {
        assert!(part.header.end <= raw.len() && part.body.end <= raw.len(), "a part outside of the message");
        assert!(part.header.start <= part.header.end && part.body.start <= part.body.end);
    }
    let cut = |text| section(raw, &summary.structure, &SectionSpec { part: Vec::new(), text }).expect("the root");
    assert_eq!([cut(SectionText::Header), cut(SectionText::Text)].concat(), raw, "header and text are not all");
    let mut path = Vec::new();
    while path.len() <= DEPTH_MAX {
        path.push(1);
        for text in [SectionText::All, SectionText::Mime, SectionText::Header, SectionText::Text] {
            let _ = section(raw, &summary.structure, &SectionSpec { part: path.clone(), text });
        }
        let _ = binary(raw, &summary.structure, &path);
    }
    let mut bytes = 0;
    message::each_piece(raw, &summary.structure, &mut |piece| {
        bytes += match piece {
            message::Piece::Field { value, .. } => value.len(),
            message::Piece::Body(text) => text.len(),
        };
        true
    });
    assert!(bytes <= message::SEARCH_BYTES_MAX);
    let tokens = message::tokens(raw, &summary.structure);
    assert!(!tokens.bytes().any(|byte| byte.is_ascii() && byte != b' ' && !byte.is_ascii_alphanumeric()));
    // A structure that was stored with other bytes must not hurt either.
    let _ = section(&raw[raw.len() / 2..], &summary.structure, &SectionSpec { part: vec![1], text: SectionText::All });
    let _ = section(raw, &Structure::of(b"\r\n"), &SectionSpec { part: vec![2], text: SectionText::Mime });
    if let Some(view) = SummaryView::parse(raw) {
        let _ = (view.structure(), view.sort_keys(), view.thread_keys());
    }
});
