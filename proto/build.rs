//! Compiles the .proto files with a compiler written in Rust, so that no `protoc` has to be installed.

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
    // Chunk data and labels are slices of the received buffer instead of copies.
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
