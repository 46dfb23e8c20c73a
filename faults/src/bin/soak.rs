//! The soak as a program; what it does stands in the library.

fn main() -> std::process::ExitCode {
    portcullis_faults::soak::main()
}
