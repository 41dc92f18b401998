//! An index-header of any bytes is decoded and an index is opened over it, or that fails; it never panics. Most inputs
//! are put into a sound frame with right checksums, so that what lies behind them is reached.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use store::header::Header;
use tsdb::cursor::crc32c;
use tsdb::index::Reader;

const HEAD_LEN: u64 = 14;
/// The first bytes of an index, which its symbols follow.
const INDEX_HEAD_LEN: u64 = 5;

/// A header whose sections have `symbols` and `table`; `gap` bytes of the index lie between them.
fn framed(version: u8, gap: u64, symbols: &[u8], table: &[u8]) -> Vec<u8> {
    let series = INDEX_HEAD_LEN + symbols.len() as u64;
    let postings_table = series.saturating_add(gap);
    let mut out = vec![0xba, 0xaa, 0xd7, 0x92, 1, version];
    out.extend(postings_table.to_be_bytes());
    out.extend(symbols);
    let table_at = out.len() as u64;
    out.extend(table);
    let toc = [INDEX_HEAD_LEN, series, series, postings_table, series, postings_table];
    checked(&mut out, &toc);
    checked(&mut out, &[HEAD_LEN, table_at]);
    out
}

/// Appends numbers and their checksum.
fn checked(out: &mut Vec<u8>, numbers: &[u64]) {
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_be_bytes()).collect();
    out.extend(&bytes);
    out.extend(crc32c(&bytes).to_be_bytes());
}

/// The payload, its length and its checksum.
fn section(payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes().to_vec();
    out.extend(payload);
    out.extend(crc32c(payload).to_be_bytes());
    out
}

fn walk(index: &Reader) -> tsdb::Result<()> {
    index.for_each_symbol(|_| Ok(()))?;
    let names: Vec<String> = index.label_names().map(str::to_owned).collect();
    for name in &names {
        let mut values = index.label_values(name, "")?;
        while values.next()?.is_some() {}
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, rest)) = data.split_first() else { return };
    let bytes = if let (true, Some((head, rest))) = (first % 4 > 0, rest.split_first_chunk::<10>()) {
        let (at, gap) = head.split_at(2);
        let gap = u64::from_be_bytes(gap.try_into().expect("eight of ten bytes"));
        let at = usize::from(u16::from_be_bytes([at[0], at[1]])).min(rest.len());
        let (symbols, table) = rest.split_at(at);
        let version = first % 4;
        // Offsets beyond what a file can have in one of four.
        let gap = if first >= 64 { gap % (1 << 40) } else { gap };
        if first % 8 > 3 {
            framed(version, gap, symbols, table)
        } else {
            framed(version, gap, &section(symbols), &section(table))
        }
    } else {
        rest.to_vec()
    };
    if let Ok(header) = Header::decode(Path::new("index-header"), &Bytes::from(bytes)) {
        if let Ok(index) = Reader::open(Arc::new(header)) {
            let _ = walk(&index);
        }
    }
});
