//! Classifies a recording with the library: `cargo run --release --example classify -- assets/dog.ogg`

use std::path::PathBuf;

use percept::decide::top_k;
use percept::media::MediaOptions;
use percept::model::{Model, Task};
use percept::pipeline::Classifier;

fn main() -> percept::Result<()> {
    let path = PathBuf::from(std::env::args_os().nth(1).unwrap_or("assets/dog.ogg".into()));
    let model = Model::builtin("sounds", Task::Classify).expect("a model of this name is in the program")?;
    let classifier = Classifier::new(model)?;

    let result = classifier.classify_file(&path, &MediaOptions::default())?;
    println!("{}: {:.2} s", path.display(), result.media.duration());
    for prediction in top_k(&result.scores, &classifier.model().header().labels, 3) {
        println!("{:>8}  {:.4}", prediction.label, prediction.score);
    }
    Ok(())
}
