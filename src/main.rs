fn main() -> std::process::ExitCode {
    tandem::shell::cli::main()
}
