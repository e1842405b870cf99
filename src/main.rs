//! The `formicarium` command: parse, wire, exit code.

fn main() -> std::process::ExitCode {
    formicarium::cli::main()
}
