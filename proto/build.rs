//! Compiles the .proto files with a compiler written in Rust, so that no `protoc` has to be installed.

use std::path::PathBuf;

use protox::prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "prometheus.proto",
        "write_v2.proto",
        "client.proto",
        "thanos/store.proto",
        "thanos/info.proto",
        "thanos/hints.proto",
        "thanos/query.proto",
        "thanos/rules.proto",
        "thanos/targets.proto",
        "thanos/metadata.proto",
        "thanos/exemplars.proto",
        "thanos/status.proto",
    ];
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(files, ["proto"])?;
    // What reflection tells; comments and positions are for compilers.
    let mut described = descriptors.clone();
    for file in &mut described.file {
        file.source_code_info = None;
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "a build script is told so where to write"
    )]
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), described.encode_to_vec())?;
    // Chunk data and labels are slices of the received buffer instead of copies.
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
