use proptest::prelude::*;

use super::*;

/// Decodes bit by bit, as the format is described; nothing shared with the real decoder.
mod reference {
    pub(super) struct Bits<'a> {
        data: &'a [u8],
        at: usize,
    }

    impl Bits<'_> {
        fn bit(&mut self) -> Option<u64> {
            let byte = self.data.get(self.at / 8)?;
            let bit = (byte >> (7 - self.at % 8)) & 1;
            self.at += 1;
            Some(u64::from(bit))
        }

        fn bits(&mut self, n: u32) -> Option<u64> {
            (0..n).try_fold(0, |value, _| Some((value << 1) | self.bit()?))
        }

        fn uvarint(&mut self) -> Option<u64> {
            let mut value = 0u128;
            for group in 0..10 {
                let byte = u128::from(self.bits(8)?);
                value |= (byte & 127) << (7 * group);
                if byte < 128 {
                    return u64::try_from(value).ok();
                }
            }
            None
        }

        fn delta_of_delta(&mut self) -> Option<i64> {
            let mut ones = 0;
            while ones < 4 && self.bit()? == 1 {
                ones += 1;
            }
            let width = [0, 14, 17, 20, 64][ones];
            let value = i128::from(self.bits(width)?);
            Some(if width < 64 && width > 0 && value > 1 << (width - 1) {
                (value - (1 << width)) as i64
            } else {
                value as u64 as i64
            })
        }
    }

    pub(super) fn decode(data: &[u8]) -> Option<Vec<(i64, u64)>> {
        let mut bits = Bits { data, at: 0 };
        let count = bits.bits(16)?;
        let mut samples = Vec::new();
        let (mut time, mut delta, mut value) = (0i64, 0u64, 0u64);
        let (mut leading, mut significant) = (0, 64);
        for i in 0..count {
            if i == 0 {
                let zigzag = bits.uvarint()?;
                time = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
                value = bits.bits(64)?;
            } else {
                delta = match i {
                    1 => bits.uvarint()?,
                    _ => delta.wrapping_add(bits.delta_of_delta()? as u64),
                };
                time = time.wrapping_add(delta as i64);
                if bits.bit()? == 1 {
                    if bits.bit()? == 1 {
                        leading = bits.bits(5)?;
                        significant = match bits.bits(6)? {
                            0 => 64,
                            n => n,
                        };
                        if leading + significant > 64 {
                            return None;
                        }
                    }
                    value ^= bits.bits(significant as u32)? << (64 - leading - significant);
                }
            }
            samples.push((time, value));
        }
        Some(samples)
    }
}

fn encode(samples: &[(i64, f64)]) -> Bytes {
    let mut encoder = Encoder::new();
    for &(t, v) in samples {
        encoder.append(t, v);
    }
    encoder.chunk().data
}

fn decode(data: &[u8]) -> Result<Vec<(i64, u64)>, Corruption> {
    let (mut times, mut values) = (vec![1, 2], vec![3.0, 4.0]);
    let result = decode_columns(data, &mut times, &mut values);
    assert_eq!(
        (times[..2].to_vec(), values[..2].to_vec()),
        (vec![1, 2], vec![3.0, 4.0])
    );
    let samples: Vec<_> = times[2..]
        .iter()
        .zip(&values[2..])
        .map(|(&t, v)| (t, v.to_bits()))
        .collect();
    if result.is_err() {
        assert_eq!(
            (times.len(), values.len()),
            (2, 2),
            "a failure leaves nothing behind"
        );
    }
    let one_by_one: Result<Vec<_>, _> = Samples::new(data).and_then(|samples| {
        samples
            .map(|sample| sample.map(|(t, v)| (t, v.to_bits())))
            .collect()
    });
    assert_eq!(one_by_one, result.clone().map(|()| samples.clone()));
    result.map(|()| samples)
}

fn bits(samples: &[(i64, f64)]) -> Vec<(i64, u64)> {
    samples.iter().map(|&(t, v)| (t, v.to_bits())).collect()
}

#[test]
fn special_values_and_extreme_times_return() {
    let samples = [
        (i64::MIN, 0.0),
        (-5, f64::from_bits(model::sample::STALE_NAN_BITS)),
        (0, -0.0),
        (15_000, 1.5),
        (30_000, f64::INFINITY),
        (45_001, f64::from_bits(u64::MAX)),
        (45_002, f64::from_bits(1)),
        (i64::MAX, f64::NEG_INFINITY),
        (i64::MIN, f64::NAN),
    ];
    assert_eq!(decode(&encode(&samples)).unwrap(), bits(&samples));
}

#[test]
fn the_bytes_are_those_of_the_format() {
    // count 4 | varint 1000 | 1.0 | uvarint 15 | xor 1.0 to 2.0 | ...
    let data = encode(&[(1000, 1.0), (1015, 2.0), (1030, 2.0), (1045, 2.0)]);
    let value = 1f64.to_bits() ^ 2f64.to_bits();
    assert_eq!((value.leading_zeros(), value.trailing_zeros()), (1, 52));
    let expected = [
        "0000000000000100",
        "1101000000001111",
        &format!("{:064b}", 1f64.to_bits()),
        "00001111",
        "11",
        "00001",
        "001011",
        "11111111111",
        "00",
        "00",
        "0000",
    ]
    .concat();
    let written: String = data.iter().map(|byte| format!("{byte:08b}")).collect();
    assert_eq!(written, expected);
}

#[test]
fn deltas_of_deltas_take_the_documented_bits() {
    for (dod, width) in [
        (0, 1),
        (-8191, 16),
        (8192, 16),
        (-8192, 20),
        (8193, 20),
        (-65_535, 20),
        (65_536, 20),
        (-65_536, 24),
        (524_288, 24),
        (-524_287, 24),
        (524_289, 68),
        (i64::MIN, 68),
    ] {
        let mut writer = BitWriter::new(&[], 16);
        write_delta_of_delta(&mut writer, dod);
        writer.write_bits(u64::MAX, 64);
        let bytes = writer.to_vec();
        let next = BitReader::new(&bytes, 0).window();
        let expected = (width < 68).then_some((dod, width));
        assert_eq!(delta_of_delta(next), expected);
        assert_eq!(writer.len(), (width as usize + 64).div_ceil(8), "{dod}");
    }
}

#[test]
fn a_value_before_any_window_is_read_in_full() {
    // Prometheus writes this after it reopened a chunk of one sample.
    let mut writer = BitWriter::new(&[0, 2], 32);
    writer.write_varint(0);
    writer.write_bits(1.5f64.to_bits(), 64);
    writer.write_uvarint(10);
    writer.write_bits(0b10, 2);
    writer.write_bits(1.5f64.to_bits() ^ 2.5f64.to_bits(), 64);
    let samples = decode(&writer.to_vec()).unwrap();
    assert_eq!(samples, bits(&[(0, 1.5), (10, 2.5)]));
}

#[test]
fn damage_is_reported_where_it_is() {
    assert_eq!(decode(&[0]).unwrap_err().offset, 1);
    assert_eq!(
        decode(&[0xff, 0xff, 0, 0]).unwrap_err().expected,
        "a sample count that the payload has room for"
    );
    let mut endless = vec![0, 1];
    endless.extend([0xff; 20]);
    let error = decode(&endless).unwrap_err();
    assert_eq!(error.expected, "a varint of at most 64 bits");
    assert_eq!(decode(&[0, 0]).unwrap(), []);
}

#[test]
fn a_resumed_chunk_goes_on_as_if_never_closed() {
    let mut whole = Encoder::new();
    for i in 0..100i64 {
        let resumed = Encoder::resume(&whole.chunk().data).unwrap();
        assert_eq!(resumed.chunk(), whole.chunk(), "after {i} samples");
        assert_eq!(resumed.byte_len(), whole.byte_len());
        assert_eq!(resumed.last(), whole.last());
        whole = resumed;
        whole.append(i * 15_000 + i % 3, (i * i) as f64 / 7.0);
    }
}

/// Values whose neighbours share bits often enough to exercise all windows.
fn values() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (-1000i64..1000).prop_map(|v| v as f64),
        (0i64..100_000).prop_map(|v| v as f64 / 100.0),
        Just(model::sample::STALE_NAN),
        Just(0.0),
        Just(1.0),
    ]
}

fn times() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => Just(15_000),
        2 => 14_990i64..15_010,
        1 => -600_000i64..600_000,
        1 => any::<i64>(),
    ]
}

prop_compose! {
    fn samples()(
        start in any::<i64>(),
        steps in prop::collection::vec((times(), values()), 0..200),
    ) -> Vec<(i64, f64)> {
        let mut time = start;
        steps
            .into_iter()
            .map(|(step, value)| {
                time = time.wrapping_add(step);
                (time, value)
            })
            .collect()
    }
}

proptest! {
    #[test]
    fn samples_round_trip(samples in samples()) {
        let data = encode(&samples);
        prop_assert_eq!(reference::decode(&data), Some(bits(&samples)));
        prop_assert_eq!(decode(&data).unwrap(), bits(&samples));
    }

    #[test]
    fn damaged_chunks_decode_as_the_reference_says(
        samples in samples(),
        flips in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..4),
        cut in any::<prop::sample::Index>(),
        truncate in any::<bool>(),
    ) {
        let mut data = encode(&samples).to_vec();
        for (index, flip) in flips {
            let at = index.index(data.len());
            data[at] ^= flip;
        }
        if truncate {
            data.truncate(cut.index(data.len()));
        }
        prop_assert_eq!(decode(&data).ok(), reference::decode(&data));
    }

    #[test]
    fn any_bytes_decode_as_the_reference_says(data in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert_eq!(decode(&data).ok(), reference::decode(&data));
        let _ = Encoder::resume(&data);
    }
}
