//! Models of several inputs, by name.

use headstart_backbone::{BackboneError, Session, SessionConfig};
use headstart_input::{Data, Tensor};
use headstart_onnx::{OnnxModel, make_batch_dynamic};

use crate::support::{runtime, shared};

/// Token numbers as a sentence encoder wants them, `(n, length)`; 0 is padding.
fn tokens(rows: &[&[i64]]) -> Vec<Tensor> {
    let length = rows.iter().map(|it| it.len()).max().unwrap_or(0);
    let cell = |row: &&[i64], column: usize| row.get(column).copied().unwrap_or(0);
    let ids: Vec<i64> = rows.iter().flat_map(|row| (0..length).map(move |it| cell(row, it))).collect();
    let mask = ids.iter().map(|it| i64::from(*it != 0)).collect();
    let types = vec![0; ids.len()];
    let tensor = |(name, values)| Tensor::new(name, vec![rows.len(), length], Data::I64(values));
    [("input_ids", ids), ("attention_mask", mask), ("token_type_ids", types)].map(tensor).into()
}

fn floats(tensor: &Tensor) -> &[f32] {
    let Data::F32(values) = &tensor.data else { panic!("{}", tensor.data.dtype()) };
    values
}

/// MiniLM: three inputs of integers, any batch, any length.
#[test]
fn a_sentence_encoder_runs_on_three_named_inputs() {
    let Some(shared) = shared() else { return };
    let mut model = OnnxModel::load(&shared.join("models/minilm-l6-v2-f16.onnx")).expect("it reads");
    make_batch_dynamic(&mut model).expect("it has inputs");
    let mut session = Session::load(&runtime(), &model, &SessionConfig::default(), 1).expect("it loads");
    let names: Vec<&str> = session.inputs().iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names.len(), 3);
    assert!(session.inputs().iter().all(|it| it.dtype == "int64"), "{:?}", session.inputs());

    let (short, long): (&[i64], &[i64]) = (&[101, 7592, 102], &[101, 2023, 2003, 1037, 6251, 102]);
    let both = tokens(&[short, long]);
    let of_both = session.run(&both).expect("it runs");
    assert_eq!((of_both[0].name.as_str(), &of_both[0].shape[..]), ("last_hidden_state", &[2, 6, 384][..]));
    // In whatever order they are given.
    let reversed: Vec<Tensor> = both.iter().rev().cloned().collect();
    assert_eq!(session.run(&reversed).expect("it runs"), of_both);
    // What is masked is not seen: a sentence alone is what it is beside a longer one. 1e-4: sums of another
    // order, on values of about 1.
    let alone = session.run(&tokens(&[short])).expect("it runs");
    let (alone, padded) = (floats(&alone[0]), &floats(&of_both[0])[..3 * 384]);
    let difference = alone.iter().zip(padded).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference < 1e-4, "{difference}");

    // Without one, with one that it does not have, and with another type.
    let mut renamed = both.clone();
    renamed[2].name = "position_ids".to_owned();
    let mut more = both.clone();
    more.push(Tensor::new("more", vec![1], Data::U8(vec![0])));
    for wrong in [&both[..2], &renamed, &more] {
        let err = session.run(wrong).expect_err("other inputs");
        let BackboneError::Inputs { expected, actual } = &err else { panic!("{err:?}") };
        assert_eq!((expected.len(), actual.len()), (3, wrong.len()));
    }
    let mut typed = both;
    typed[0].data = Data::F32(vec![0.0; 12]);
    assert!(matches!(session.run(&typed), Err(BackboneError::Session { .. })));
}
