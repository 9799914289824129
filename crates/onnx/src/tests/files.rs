//! Bytes and files: nothing is lost, nothing hostile does harm.

use super::*;

#[test]
fn unknown_fields_come_back_where_they_were() {
    // `doc_string` (6) of the model and field 99 of its graph are not named by our types.
    let graph: &[u8] = &[0x12, 0x01, b'g', 0x9a, 0x06, 0x02, b'h', b'i'];
    let mut bytes = vec![0x08, 0x08, 0x32, 0x03, b'd', b'o', b'c', 0x3a, graph.len() as u8];
    bytes.extend_from_slice(graph);
    let model = OnnxModel::from_bytes(bytes.clone()).unwrap();
    assert_eq!(model.to_bytes().unwrap(), bytes);
}

#[test]
fn metadata_is_replaced_and_not_repeated() {
    let mut model = vgg();
    model.set_metadata("key", "old");
    model.set_metadata("key", "new");
    let again = OnnxModel::from_bytes(model.to_bytes().unwrap()).unwrap();
    assert_eq!(again.metadata("key"), Some("new"));
    assert_eq!(Summary::of(&again).metadata.len(), 1);
}

#[test]
fn damaged_bytes_are_refused_with_what_was_found() {
    let cases: [(&[u8], &str); 7] = [
        (b"", "not a readable ONNX file: it is empty"),
        (b"\x08\x08", "the model has no graph"),
        (b"\x08", "not a readable ONNX file: the file ends inside a number"),
        (&[0x3a, 0x7f, 0x00], "not a readable ONNX file: a field of 127 bytes where only 1 bytes are left"),
        (&[0x3b], "not a readable ONNX file: field 7 has wire type 3, which ONNX never uses"),
        (
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            "not a readable ONNX file: a number longer than ten bytes",
        ),
        (&[0x00, 0x00], "not a readable ONNX file: field tag 0 at byte 0 of its message is out of range"),
    ];
    let n_cases = cases.len();
    for (bytes, expected) in cases {
        assert_eq!(OnnxModel::from_bytes(bytes.to_vec()).unwrap_err().to_string(), expected);
    }
    assert_eq!(n_cases, 7);
}

/// A length of 2⁶³ and one that wraps around: nothing is allocated by a length that is not there.
#[test]
fn absurd_lengths_allocate_nothing() {
    for length in [u64::MAX, 1 << 63, u64::from(u32::MAX)] {
        let mut bytes = vec![0x3a];
        crate::wire::write_varint(length, &mut bytes);
        assert!(matches!(OnnxModel::from_bytes(bytes), Err(OnnxError::Malformed { .. })));
    }
}

/// Graphs within attributes within graphs: a stack overflow would take the process with it.
#[test]
fn nesting_is_bounded() {
    let mut graph = GraphProto::default();
    for _ in 0..100 {
        let body = AttributeProto { g: Some(graph), ..Default::default() };
        let node = NodeProto { attribute: vec![body], ..Default::default() };
        graph = GraphProto { node: vec![node], ..Default::default() };
    }
    let proto = ModelProto { graph: Some(graph), ..Default::default() };
    let err = OnnxModel::from_bytes(encode(&proto)).unwrap_err().to_string();
    assert_eq!(err, "not a readable ONNX file: messages nested deeper than 64");
}

/// A few bytes on disk, hundreds in memory: empty nodes, empty names, unknown fields, packed numbers.
#[test]
fn the_memory_of_a_files_structure_is_bounded() {
    let delimited = |number: u8, payload: &[u8]| {
        let mut bytes = vec![number << 3 | 2];
        crate::wire::write_varint(payload.len() as u64, &mut bytes);
        bytes.extend(payload);
        bytes
    };
    let n = 12_000_000;
    let nodes = [0x0a, 0x00].repeat(2_100_000);
    let node_of_names = delimited(1, &[0x0a, 0x00].repeat(n));
    let node_of_unknown = delimited(1, &[0x58, 0x00].repeat(n));
    let tensor_of_dims = delimited(5, &delimited(1, &vec![1; 40_000_000]));
    let cases = [nodes, node_of_names, node_of_unknown, tensor_of_dims];
    for graph in &cases {
        let err = OnnxModel::from_bytes(delimited(7, graph)).unwrap_err().to_string();
        assert_eq!(err, "not a readable ONNX file: its structure needs more than 512 MiB of memory");
    }
    assert_eq!(cases.len(), 4);
}

#[test]
fn every_prefix_and_every_flipped_byte_gives_a_model_or_an_error() {
    let bytes = vgg().to_bytes().unwrap();
    let mut n_cases = 0;
    for position in 0..bytes.len() {
        drop(OnnxModel::from_bytes(bytes[..position].to_vec()));
        for flip in 1..=255_u8 {
            let mut damaged = bytes.clone();
            damaged[position] ^= flip;
            if let Ok(mut model) = OnnxModel::from_bytes(damaged) {
                drop(make_batch_dynamic(&mut model));
                drop(find_tap(&model).and_then(|tap| cut(&model, &tap)));
                drop(Summary::of(&model));
            }
            n_cases += 1;
        }
    }
    assert_eq!(n_cases, 255 * bytes.len());
}

/// A folder of its own for a test, gone when the test ends.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("headstart-onnx-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn external(location: &str, offset: &str, length: &str) -> OnnxModel {
    let mut model = vgg();
    let tensor = &mut model.graph_mut().initializer[0];
    tensor.raw_data = None;
    tensor.data_location = Some(1);
    tensor.external_data = [("location", location), ("offset", offset), ("length", length)]
        .map(|(key, value)| StringStringEntryProto {
            key: Some(key.to_owned()),
            value: Some(value.to_owned()),
            ..Default::default()
        })
        .to_vec();
    model
}

/// Nodes without the inputs or outputs their operators have, in every place the search looks at.
#[test]
fn nodes_without_inputs_or_outputs_are_no_reason_to_panic() {
    let operators = [
        "DequantizeLinear",
        "QuantizeLinear",
        "DynamicQuantizeLinear",
        "Reshape",
        "Dropout",
        "Identity",
        "Unsqueeze",
        "Flatten",
        "GlobalAveragePool",
        "ReduceMean",
        "Add",
        "Mul",
        "Softmax",
        "Gemm",
        "MatMul",
        "QGemm",
        "Conv",
        "QLinearConv",
        "Constant",
        "If",
        "Transpose",
        "Cast",
    ];
    let ends: [&[(&str, &[&str], &str)]; 5] = [
        &[("Gemm", &["q", "w"], "y")],
        &[("Conv", &["q", "w"], "y")],
        &[("Conv", &["q", "w"], "c"), ("GlobalAveragePool", &["c"], "y")],
        &[("MatMul", &["q", "w"], "m"), ("Add", &["m", "w"], "y")],
        &[("Flatten", &["q"], "f"), ("Gemm", &["f", "w"], "y")],
    ];
    let mut n_cases = 0;
    for op in operators {
        for end in ends {
            for (has_input, has_output) in [(false, true), (true, false), (false, false)] {
                let mut odd = model(end, vec![weight("w", &[1, 10])], &[tensor("y", &[0, 10])]);
                let inputs: &[&str] = if has_input { &["x"] } else { &[] };
                let mut node = NodeProto::new(op, inputs, "q", vec![]);
                if !has_output {
                    node.output.clear();
                }
                odd.graph_mut().node.insert(0, node);
                let odd = OnnxModel::from_bytes(odd.to_bytes().unwrap()).unwrap();
                drop(Summary::of(&odd));
                drop(make_batch_dynamic(&mut odd.clone()));
                for tap in [find_tap(&odd).ok(), tap_at(&odd, "q").ok()].into_iter().flatten() {
                    drop(cut(&odd, &tap));
                }
                n_cases += 1;
            }
        }
    }
    assert_eq!(n_cases, 22 * 5 * 3);
}

#[test]
fn absurd_shapes_are_counted_without_overflow() {
    let mut absurd = model(&[("Relu", &["x"], "y")], Vec::new(), &[tensor("y", &[0, 3])]);
    for name in ["a", "b", "c"] {
        let mut tensor = weight(name, &[1]);
        tensor.dims = vec![i64::MAX];
        absurd.graph_mut().initializer.push(tensor);
    }
    assert_eq!(Summary::of(&absurd).n_parameters, u64::MAX);
}

#[test]
fn external_data_follows_the_model_to_where_it_is_saved() {
    let folder = Folder::new("external");
    let values: Vec<f32> = (0..12).map(|it| it as f32).collect();
    let mut data = vec![0xee; 100];
    data.extend(values.iter().flat_map(|it| it.to_le_bytes()));
    std::fs::write(folder.0.join("weights.bin"), &data).unwrap();
    std::fs::write(folder.0.join("a.onnx"), external("weights.bin", "100", "48").to_bytes().unwrap())
        .unwrap();
    let model = OnnxModel::load(&folder.0.join("a.onnx")).unwrap();
    assert_eq!(model.f32_values("w1").unwrap(), values);
    assert_eq!(model.external_data_locations(), ["weights.bin"]);

    let there = folder.0.join("there");
    std::fs::create_dir_all(&there).unwrap();
    model.save(&there.join("b.onnx")).unwrap();
    let copy = OnnxModel::load(&there.join("b.onnx")).unwrap();
    assert_eq!(copy.f32_values("w1").unwrap(), values);
    assert_eq!(copy.external_data_locations(), ["b.onnx.data"]);
    assert_eq!(copy.external_data_files().unwrap(), [there.join("b.onnx.data").canonicalize().unwrap()]);
    // A file named without a folder lies in the current one.
    let bare = OnnxModel::from_file_bytes(copy.to_bytes().unwrap(), "b.onnx".as_ref()).unwrap();
    assert_eq!(bare.external_data_folder(), Some(".".as_ref()));
    // A cut that does not need the weight does not carry it.
    cut(&model, &tap_at(&model, "flat").unwrap()).unwrap().save(&there.join("c.onnx")).unwrap();
    let mut names: Vec<_> =
        std::fs::read_dir(&there).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["b.onnx", "b.onnx.data", "c.onnx"]);
}

#[test]
fn external_data_outside_the_folder_or_past_its_end_is_refused() {
    let folder = Folder::new("escape");
    std::fs::write(folder.0.join("weights.bin"), [0; 48]).unwrap();
    let path = folder.0.join("a.onnx");
    let cases = [
        ("../weights.bin", "0", "48", "`../weights.bin` leaves the model's folder"),
        ("/etc/passwd", "0", "48", "`/etc/passwd` leaves the model's folder"),
        ("weights.bin", "1", "48", "bytes 1..+48 of `weights.bin`, which has 48 bytes"),
        ("weights.bin", "18446744073709551615", "48", "which has 48 bytes"),
        ("weights.bin", "-1", "48", "offset is `-1`"),
    ];
    let n_cases = cases.len();
    for (location, offset, length, expected) in cases {
        std::fs::write(&path, external(location, offset, length).to_bytes().unwrap()).unwrap();
        let err = OnnxModel::load(&path).unwrap().f32_values("w1").unwrap_err().to_string();
        assert!(err.starts_with("external data of `w1`: ") && err.ends_with(expected), "{err}");
    }
    assert_eq!(n_cases, 5);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/etc/hostname", folder.0.join("link.bin")).unwrap();
        std::fs::write(&path, external("link.bin", "0", "1").to_bytes().unwrap()).unwrap();
        let err = OnnxModel::load(&path).unwrap().f32_values("w1").unwrap_err().to_string();
        assert!(err.ends_with("`link.bin` leaves the model's folder"), "{err}");
        std::fs::create_dir(folder.0.join("folder.bin")).unwrap();
        std::fs::write(&path, external("folder.bin", "0", "1").to_bytes().unwrap()).unwrap();
        let err = OnnxModel::load(&path).unwrap().external_data_files().unwrap_err().to_string();
        assert!(err.ends_with("`folder.bin` is no regular file"), "{err}");
    }
}

#[test]
fn data_that_does_not_fit_its_shape_is_refused() {
    let mut model = vgg();
    model.graph_mut().initializer[0].dims = vec![3, 5];
    let err = model.f32_values("w1").unwrap_err().to_string();
    assert_eq!(err, "tensor `w1`: its shape [3, 5] needs 60 bytes, its data has 48");
    model.graph_mut().initializer[0].dims = vec![i64::MAX, i64::MAX];
    assert!(matches!(model.f32_values("w1"), Err(OnnxError::Tensor { .. })));
}

#[test]
fn models_can_be_shared_between_threads() {
    fn check<T: Send + Sync>() {}
    check::<OnnxModel>();
    check::<OnnxError>();
}
