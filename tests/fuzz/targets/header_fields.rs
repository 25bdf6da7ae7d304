//! Header fields: nothing is lost, selections complement each other, dates and words never hurt.

#![no_main]

use libfuzzer_sys::fuzz_target;
use message::{base_subject, decode_words, fields, header_end, select_fields, sent_date, sent_day};

fuzz_target!(|header: &[u8]| {
    let end = header_end(header);
    assert!(end <= header.len());
    let mut names = Vec::new();
    for field in fields(header) {
        let _ = base_subject(&decode_words(field.value));
        let (instant, day) = (sent_date(field.value), sent_day(field.value));
        assert_eq!(instant.is_some(), day.is_some(), "a date without a day, or a day without a date");
        names.push(field.name.to_vec());
    }
    names.sort();
    names.dedup();
    let names: Vec<Vec<u8>> = names.into_iter().step_by(2).take(20).collect();
    let header = &header[..end];
    let (with, without) = (select_fields(header, &names, false), select_fields(header, &names, true));
    // Both end in the empty line; together they hold every line once.
    assert!(with.len() + without.len() <= header.len() + 8, "lines are doubled");
});
