//! Vectors that another program computed.

use super::*;

/// A NumPy file of f32, `[T, D]`.
fn npy(rows: &[Vec<f32>]) -> Vec<u8> {
    let header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows.len(), rows[0].len());
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(rows.iter().flatten().flat_map(|value| value.to_le_bytes()));
    bytes
}

/// Vectors of three numbers that rise or fall.
fn walk(rises: bool, seed: usize) -> Vec<Vec<f32>> {
    let sign = if rises { 1.0 } else { -1.0 };
    (0..12 + seed % 5).map(|t| vec![seed as f32 * 0.1, sign * t as f32, (t % 2) as f32]).collect()
}

#[test]
fn a_model_learns_from_vectors_and_classifies_them() {
    let place = Workplace::new();
    for label in ["rise", "fall"] {
        std::fs::create_dir_all(place.path("clips").join(label)).unwrap();
        for i in 0..12 {
            place.write(&format!("clips/{label}/{i}.npy"), npy(&walk(label == "rise", i)));
        }
    }
    place.write("new.npy", npy(&walk(true, 20)));
    let args = ["--hidden-size", "8", "--num-layers", "1", "--epochs", "15", "--learning-rate", "0.02"];
    let run = place.run(&[&["train", "clips", "-o", "way.safetensors"], &args[..]].concat());
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let record = place.run(&["classify", "-m", "way.safetensors", "new.npy"]).json();
    schema::assert_valid(&place, "classify", &record);
    assert_eq!(record["predictions"][0]["label"], "rise");
    assert_eq!((&record["input"]["kind"], &record["input"]["container"]), (&"vectors".into(), &"npy".into()));
    assert_eq!((&record["input"]["frames"], &record["input"]["duration"]), (&12.into(), &12.0.into()));

    place.write("wide.npy", npy(&[vec![1.0; 5]]));
    let run = place.run(&["classify", "-m", "way.safetensors", "wide.npy"]);
    run.assert_one_error_line(&["wide.npy", "its vectors have 5 numbers where the model takes 3"]);
    let run = place.run(&["classify", "new.npy"]);
    assert_eq!(run.code(), 1);
    assert!(
        run.stderr().contains("there is no built-in model for vectors; name one (-m)"),
        "{}",
        run.stderr()
    );
}
