//! 8-bit floats and their scales.

use super::{f32s, file};
use crate::weights::{FileDtype, WeightStore};

/// A file of these tensors: name, type, shape, bytes.
fn store(tensors: &[(&str, &str, &[usize], Vec<u8>)]) -> WeightStore {
    let (mut header, mut data) = (Vec::new(), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let from = data.len();
        data.extend(bytes);
        let to = data.len();
        header.push(format!(
            r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{from},{to}]}}"#
        ));
    }
    WeightStore::from_bytes("m", file(&format!("{{{}}}", header.join(",")), &data)).unwrap()
}

#[test]
fn every_8_bit_float_is_the_number_that_the_format_says() {
    let all: Vec<u8> = (0..=255).collect();
    let both = store(&[("e4m3", "F8_E4M3", &[256], all.clone()), ("e5m2", "F8_E5M2", &[256], all)]);
    let (e4m3, e5m2) = (both.load("e4m3", &[256]).unwrap(), both.load("e5m2", &[256]).unwrap());
    assert_eq!(both.dtype("e4m3").unwrap(), FileDtype::F8E4m3);
    assert_eq!((FileDtype::F8E5m2.size(), FileDtype::F8E5m2.storage()), (Some(1), None));
    // By the definition: sign, exponent with its bias, fraction; exponent 0 has no leading one.
    let value = |bits: usize, fraction_bits: i32, bias: i32| {
        let (sign, rest) = (if bits >= 128 { -1.0 } else { 1.0 }, bits & 127);
        let (exponent, fraction) = ((rest >> fraction_bits) as i32, rest & ((1 << fraction_bits) - 1));
        let fraction = fraction as f64 / f64::from(1 << fraction_bits);
        let (lead, exponent) = if exponent == 0 { (0.0, 1) } else { (1.0, exponent) };
        sign * (lead + fraction) * 2f64.powi(exponent - bias)
    };
    for bits in 0..256 {
        let expected = if bits & 127 == 127 { f64::NAN } else { value(bits, 3, 7) };
        let found = f64::from(e4m3.data()[bits]);
        assert!(found == expected || found.is_nan() && expected.is_nan(), "e4m3 {bits:#x}: {found}");
        assert_eq!(found.is_sign_negative(), bits >= 128, "e4m3 {bits:#x}");
        let expected = match bits & 127 {
            124 => value(bits, 2, 15).signum() * f64::INFINITY,
            125.. => f64::NAN,
            _ => value(bits, 2, 15),
        };
        let found = f64::from(e5m2.data()[bits]);
        assert!(found == expected || found.is_nan() && expected.is_nan(), "e5m2 {bits:#x}: {found}");
    }
    assert_eq!((e4m3.data()[0x7e], e4m3.data()[1]), (448.0, 2f32.powi(-9)));
    assert_eq!((e5m2.data()[0x7b], e5m2.data()[1]), (57_344.0, 2f32.powi(-16)));
}

/// 1, 2, 3 in rows of one.
const BITS: [u8; 3] = [0x38, 0x40, 0x44];

#[test]
fn a_scale_is_multiplied_in() {
    let bf16 = |v: f32| half::bf16::from_f32(v).to_le_bytes().to_vec();
    for (name, dtype, shape, bytes, expected) in [
        ("l.scale_weight", "F32", &[][..], f32s(&[0.5]), [0.5, 1.0, 1.5]),
        ("l.scale_weight", "F32", &[1][..], f32s(&[3.0]), [3.0, 6.0, 9.0]),
        ("l.weight_scale", "BF16", &[1, 1][..], bf16(2.0), [2.0, 4.0, 6.0]),
        ("l.weight_scale", "F32", &[3][..], f32s(&[1.0, 0.5, 2.0]), [1.0, 1.0, 6.0]),
        ("l.weight_scale", "F32", &[3, 1][..], f32s(&[2.0, 0.25, 1.0]), [2.0, 0.5, 3.0]),
    ] {
        let weight = ("model.l.weight", "F8_E4M3", &[3, 1][..], BITS.to_vec());
        let name = format!("model.{name}");
        let scaled = store(&[weight, (&name, dtype, shape, bytes)]);
        // Under other names too.
        for (scaled, name) in [(scaled.unwrapped().unwrap(), "l.weight"), (scaled, "model.l.weight")] {
            assert_eq!(scaled.load(name, &[3, 1]).unwrap().data(), expected, "{shape:?}");
            let rows = scaled.load_rows(name, &[3, 1], &[2, 0]).unwrap();
            assert_eq!(rows.data(), [expected[2], expected[0]]);
            let text = scaled.bytes(name).unwrap_err().to_string();
            assert!(text.contains("`model.l.weight`") && text.contains("scale"), "{text}");
        }
    }
    // Of other types too: what was stored times its scale is the weight.
    let wide =
        store(&[("weight", "F32", &[2], f32s(&[1.0, 2.0])), ("scale_weight", "F32", &[], f32s(&[4.0]))]);
    assert_eq!(wide.load("weight", &[2]).unwrap().data(), [4.0, 8.0]);
    // Without a scale, and of other layers' scales, a weight knows nothing.
    let plain = store(&[
        ("l.weight", "F8_E4M3", &[3, 1], BITS.to_vec()),
        ("weight", "F8_E4M3", &[3], BITS.to_vec()),
        ("l2.scale_weight", "F32", &[], f32s(&[4.0])),
        ("l.bias", "F8_E4M3", &[3], BITS.to_vec()),
    ]);
    for (name, shape) in [("l.weight", &[3, 1][..]), ("weight", &[3]), ("l.bias", &[3])] {
        assert_eq!(plain.load(name, shape).unwrap().data(), [1.0, 2.0, 3.0]);
        assert_eq!(plain.bytes(name).unwrap(), BITS);
    }
}

#[test]
fn scales_that_make_no_sense_are_refused_by_name() {
    let with = |name: &str, dtype: &str, shape: &[usize], bytes: Vec<u8>| {
        let weight = ("l.weight", "F8_E4M3", &[3, 1][..], BITS.to_vec());
        store(&[weight, (name, dtype, shape, bytes)]).load("l.weight", &[3, 1]).unwrap_err().to_string()
    };
    for (dtype, shape, bytes, wanted) in [
        ("F32", &[2][..], f32s(&[1.0, 1.0]), "one for each of 3 rows; its shape is [2]"),
        ("F32", &[1, 3], f32s(&[1.0; 3]), "one for each of 3 rows"),
        ("F32", &[0], vec![], "its shape is [0]"),
        ("F32", &[], f32s(&[f32::NAN]), "element 0 is NaN"),
        ("F32", &[3], f32s(&[1.0, 0.0, 1.0]), "element 1 is 0"),
        ("F32", &[], f32s(&[f32::INFINITY]), "element 0 is inf"),
        ("U8", &[], vec![3], "found U8"),
        ("F8_E8M0", &[], vec![127], "found F8_E8M0"),
    ] {
        let text = with("l.scale_weight", dtype, shape, bytes);
        assert!(text.contains("`l.scale_weight`") && text.contains(wanted), "{text}");
    }
    let weight = ("l.weight", "F8_E5M2", &[3, 1][..], BITS.to_vec());
    let one = |name| (name, "F32", &[][..], f32s(&[1.0]));
    let twice = store(&[weight.clone(), one("l.scale_weight"), one("l.weight_scale")]);
    assert!(twice.load("l.weight", &[3, 1]).unwrap_err().to_string().contains("two scales"));
    // A file that says its weights are scaled lacks one; what has no rows is not a scaled weight.
    let mark = ("model.scaled_fp8", "F8_E4M3", &[0][..], vec![]);
    let marked = store(&[mark, weight, ("l.bias", "F8_E5M2", &[3], BITS.to_vec())]).unwrapped().unwrap();
    let text = marked.load("l.weight", &[3, 1]).unwrap_err().to_string();
    assert!(text.contains("`scaled_fp8`") && text.contains("`l.scale_weight` is missing"), "{text}");
    assert!(marked.load_rows("l.weight", &[3, 1], &[0]).is_err() && marked.load("l.bias", &[3]).is_ok());
    assert_eq!(marked.load("scaled_fp8", &[0]).unwrap().data(), [0.0; 0]);
}
