//! An index of any bytes opens and is walked, or fails; it never panics. Half of the inputs are put
//! into sound frames with right checksums, so that what lies behind them is reached.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use model::{MatchOp, Matcher};
use tsdb::cursor::crc32c;
use tsdb::index::{Reader, SeriesEntry};
use tsdb::source::Memory;

/// Splits off a part whose length is the first byte.
fn part<'a>(data: &mut &'a [u8]) -> &'a [u8] {
    let Some((&len, rest)) = data.split_first() else { return &[] };
    let (part, rest) = rest.split_at(usize::from(len).min(rest.len()));
    *data = rest;
    part
}

fn frame(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend((payload.len() as u32).to_be_bytes());
    out.extend(payload);
    out.extend(crc32c(payload).to_be_bytes());
}

/// Magic number, a version, then symbols, one series, one postings list and the offset table.
fn framed(version: u8, mut data: &[u8]) -> Vec<u8> {
    let mut out = vec![0xba, 0xaa, 0xd7, 0x00, version];
    let mut toc = vec![out.len() as u64];
    frame(&mut out, part(&mut data));
    toc.push(out.len() as u64);
    out.resize(out.len().next_multiple_of(16), 0);
    let series = part(&mut data);
    // One byte holds lengths below 128.
    let series = &series[..series.len().min(127)];
    out.push(series.len() as u8);
    out.extend(series);
    out.extend(crc32c(series).to_be_bytes());
    let end = out.len() as u64;
    frame(&mut out, part(&mut data));
    let table = out.len() as u64;
    frame(&mut out, data);
    toc.extend([end, table, end, table]);
    let toc: Vec<u8> = toc.iter().flat_map(|n| n.to_be_bytes()).collect();
    out.extend(&toc);
    out.extend(crc32c(&toc).to_be_bytes());
    out
}

fn walk(index: &Reader) -> tsdb::Result<()> {
    index.for_each_symbol(|_| Ok(()))?;
    let mut entry = SeriesEntry::default();
    let mut series = index.walk();
    while series.next_into(&mut entry)?.is_some() {
        index.labels(&entry)?;
    }
    let names: Vec<String> = index.label_names().map(str::to_owned).collect();
    for name in &names {
        let mut values = index.label_values(name, "")?;
        while let Some(found) = values.next()? {
            let postings = index.postings(name, found.value)?;
            for series in postings {
                index.series(series, &mut entry)?;
            }
        }
        for (op, value) in [(MatchOp::Regex, ".+"), (MatchOp::NotRegex, "a.*"), (MatchOp::NotEqual, "b")] {
            let matcher = Matcher::new(op, name, value).expect("these compile");
            index.postings_for_matchers(&[matcher])?.count();
        }
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, rest)) = data.split_first() else { return };
    let bytes = if first % 4 == 0 { rest.to_vec() } else { framed(first % 4, rest) };
    if let Ok(index) = Reader::open(Arc::new(Memory::new("index", bytes))) {
        let _ = walk(&index);
    }
});
