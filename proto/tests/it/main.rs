//! The checked-in code is what the `.proto` files generate.

use std::fs;
use std::path::Path;

use prost::Message as _;

const FILES: [&str; 5] = [
    "portcullis/v1/authorization_service.proto",
    "portcullis/v1/decision.proto",
    "portcullis/v1/diagnostic.proto",
    "portcullis/v1/policy_set_service.proto",
    "portcullis/v1/request.proto",
];

/// Set to write the generated files instead of comparing them.
const REGENERATE: &str = "PORTCULLIS_REGENERATE";

#[test]
fn generated_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().unwrap();
    let described = protox::Compiler::new([root])
        .unwrap()
        .include_imports(true)
        .include_source_info(true)
        .open_files(FILES)
        .unwrap()
        .file_descriptor_set();
    let mut undocumented = described.clone();
    undocumented.file.iter_mut().for_each(|file| file.source_code_info = None);
    let set = undocumented.encode_to_vec();
    tonic_prost_build::configure()
        .build_transport(false)
        .btree_map(".")
        .out_dir(out.path())
        .compile_fds(described)
        .unwrap();
    let code = fs::read_to_string(out.path().join("portcullis.v1.rs")).unwrap();

    let generated = root.join("src/generated");
    if std::env::var_os(REGENERATE).is_some() {
        fs::write(generated.join("portcullis.v1.rs"), &code).unwrap();
        fs::write(generated.join("descriptor_set.bin"), &set).unwrap();
        return;
    }
    let hint = format!("the generated code is stale: run `{REGENERATE}=1 cargo test -p portcullis-proto`");
    assert!(fs::read_to_string(generated.join("portcullis.v1.rs")).unwrap() == code, "{hint}");
    assert!(fs::read(generated.join("descriptor_set.bin")).unwrap() == set, "{hint}");
}

#[test]
fn every_proto_file_is_compiled() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("portcullis/v1");
    let mut found: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| format!("portcullis/v1/{}", entry.unwrap().file_name().to_string_lossy()))
        .collect();
    found.sort();
    assert_eq!(found, FILES);
}
