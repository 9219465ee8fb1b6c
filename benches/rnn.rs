//! Speed of the recurrent networks: `cargo bench --bench rnn`, or of some cases: `cargo bench --bench rnn -- gru`.
//!
//! All cores, or as many threads as `RAYON_NUM_THREADS` says. `benches/peers/rnn.py` compares with PyTorch and ONNX
//! Runtime.

use percept::nn::CellKind;

#[path = "common/rnn.rs"]
mod cases;

use cases::{Case, Time, cell_name};

fn main() -> percept::Result<()> {
    // Cargo adds `--bench`.
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    for case in Case::all(&[CellKind::Lstm, CellKind::Gru], &filter) {
        let time = case.run()?;
        println!("{}\t{}\t{:.1} GFLOP/s", case.name(), shown(&time), case.flops() / time.median / 1e6);
    }
    for cell in [CellKind::Lstm, CellKind::Gru] {
        let name = format!("train {}", cell_name(cell));
        if name.contains(&filter) {
            let training = cases::train(cell)?;
            let (step, forward, loss) = (shown(&training.step), training.forward.median, training.loss);
            println!("{name}\t{step}\tforward {forward:.1} ms, loss {loss:.3}");
        }
    }
    Ok(())
}

fn shown(time: &Time) -> String {
    format!("{:.2} ms ({:.2} to {:.2}, {} runs)", time.median, time.min, time.max, time.runs)
}
