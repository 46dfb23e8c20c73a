//! The fault campaign as a program; what it does stands in the library.

fn main() -> std::process::ExitCode {
    portcullis_faults::campaign::main()
}
