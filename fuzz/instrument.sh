#!/bin/sh
# Compiles a crate of this workspace with the instructions that tell libFuzzer which code was run.
# Cargo calls it as RUSTC_WORKSPACE_WRAPPER, so all other crates, and the build of llama.cpp, are
# those of an ordinary debug build. Works with a stable compiler.
rustc=$1
shift
case " $* " in
*" build_script_"* | *" --crate-name preflight "*) exec "$rustc" "$@" ;;
esac
exec "$rustc" "$@" \
	-Cpasses=sancov-module \
	-Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
	-Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares
