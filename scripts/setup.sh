#!/bin/sh
# Installs missing tools for building and testing inference-core, and prints what each is for.
#
#   scripts/setup.sh        build tools: cmake, make, a C++ compiler, libclang; Node.js if possible
#   scripts/setup.sh test   also test tools: Python with packages in .venv, rustfmt, clippy, and
#                           Chromium if possible
#
# Uses the system's package manager (apt-get, dnf, zypper, pacman, apk or brew), with sudo unless
# the user is root. Does nothing and prints nothing if everything is installed.
set -eu
cd "$(dirname "$0")/.."

has() {
    command -v "$1" >/dev/null 2>&1
}

fail() {
    echo "setup: $*" >&2
    exit 1
}

# Succeeds if one of the paths exists. The shell passes a pattern without a match unchanged.
any() {
    for path in "$@"; do
        if [ -e "$path" ]; then return 0; fi
    done
    return 1
}

# bindgen, which generates the Rust bindings of llama.cpp, needs libclang and clang's headers.
has_libclang() {
    if [ -n "${LIBCLANG_PATH:-}" ]; then return 0; fi
    config=
    if has llvm-config; then config=$(llvm-config --libdir); fi
    any "$config"/libclang.so* "$config"/libclang.dylib \
        /usr/lib*/libclang.so* /usr/lib*/libclang-[0-9]*.so* \
        /usr/lib/*/libclang.so* /usr/lib/*/libclang-[0-9]*.so* \
        /usr/lib*/llvm*/lib*/libclang.so* /usr/local/lib*/libclang.so* \
        /usr/local/llvm*/lib/libclang.so* \
        /usr/local/opt/llvm*/lib/libclang.dylib /opt/homebrew/opt/llvm*/lib/libclang.dylib \
        /Library/Developer/CommandLineTools/usr/lib/libclang.dylib || return 1
    has clang || any "$config"/clang/*/include/stddef.h /usr/lib*/clang/*/include/stddef.h \
        /usr/lib*/llvm*/lib*/clang/*/include/stddef.h /usr/local/l*/clang/*/include/stddef.h \
        /usr/local/opt/llvm*/lib/clang/*/include/stddef.h \
        /opt/homebrew/opt/llvm*/lib/clang/*/include/stddef.h
}

has_venv() {
    has python3 && python3 -c 'import venv, ensurepip' 2>/dev/null
}

# want TOOL APT DNF ZYPPER PACMAN APK BREW: records a missing tool and its package's name for each
# package manager.
wanted=
packages=
want() {
    wanted="$wanted${wanted:+, }$1"
    case $manager in
        apt-get) packages="$packages $2" ;;
        dnf) packages="$packages $3" ;;
        zypper) packages="$packages $4" ;;
        pacman) packages="$packages $5" ;;
        apk) packages="$packages $6" ;;
        brew) packages="$packages $7" ;;
    esac
}

install_packages() {
    if [ -z "$manager" ]; then
        fail "missing: $wanted. No known package manager found: install these tools yourself"
    fi
    root=
    if [ "$manager" != brew ] && [ "$(id -u)" -ne 0 ]; then
        has sudo || fail "missing: $wanted. sudo is not installed: as root, install these packages:$packages"
        root=sudo
    fi
    echo "setup: missing: $wanted"
    echo "setup: installing with $manager:$packages"
    # Word splitting is intended: $packages is a list and $root may be empty.
    # shellcheck disable=SC2086
    case $manager in
        apt-get)
            $root apt-get update -qq
            $root env DEBIAN_FRONTEND=noninteractive \
                apt-get install -y -qq --no-install-recommends $packages
            ;;
        dnf) $root dnf install -y -q $packages ;;
        zypper) $root zypper --non-interactive --quiet install $packages ;;
        pacman) $root pacman -S --noconfirm --needed $packages ;;
        apk) $root apk add --quiet $packages ;;
        brew) brew install --quiet $packages ;;
    esac
}

has cargo || fail "Rust is missing: install it from https://rustup.rs, then run this command again"

manager=
for candidate in apt-get dnf zypper pacman apk brew; do
    if has "$candidate"; then
        manager=$candidate
        break
    fi
done

has cmake || want "cmake (builds llama.cpp)" cmake cmake cmake cmake cmake cmake
has make || want "make (runs the build)" make make make make make make
has c++ || has g++ || has clang++ ||
    want "a C++ compiler (compiles llama.cpp)" g++ gcc-c++ gcc-c++ gcc g++ llvm
has_libclang ||
    want "libclang (generates Rust bindings for llama.cpp)" \
        libclang-dev clang-devel clang-devel clang clang-dev llvm
if [ "${1:-}" = test ]; then
    has_venv ||
        want "Python with venv (runs the tests in tests/python)" \
            "python3 python3-venv" python3 python3 python python3 python
fi
if [ -n "$wanted" ]; then install_packages; fi

# What is missing here is only skipped: the web page and its tests.
wanted=
packages=
has npm || want "Node.js (builds the web page)" \
    "nodejs npm" "nodejs npm" "nodejs npm" "nodejs npm" "nodejs npm" node
# brew has no package for programs without a terminal, and Ubuntu's needs snap.
if [ "${1:-}" = test ] && [ "$manager" != brew ] && ! grep -qs '^ID=ubuntu' /etc/os-release; then
    has chromium || has chromium-browser || has google-chrome ||
        want "Chromium (tests the web page)" chromium chromium chromium chromium chromium chromium
fi
# What could not be installed is not tried again until somebody removes this file.
failed=target/setup-skipped
if [ -n "$wanted" ] && [ "$(cat "$failed" 2>/dev/null)" != "$wanted" ]; then
    (install_packages) || {
        echo "setup: skipped: $wanted" >&2
        mkdir -p target && echo "$wanted" >"$failed"
    }
fi

if [ "${1:-}" = test ]; then
    for component in fmt clippy; do
        if ! cargo "$component" --version >/dev/null 2>&1; then
            has rustup || fail "cargo $component is missing: install it the same way as cargo"
            echo "setup: installing cargo $component with rustup (checks the code)"
            if [ "$component" = fmt ]; then component=rustfmt; fi
            rustup component add "$component"
        fi
    done
    # .venv has a copy of the requirements that its packages were installed from.
    if ! cmp -s tests/python/requirements.txt .venv/requirements.txt; then
        echo "setup: installing the Python test packages into .venv"
        python3 -m venv --clear .venv
        .venv/bin/python -m pip install --quiet --disable-pip-version-check \
            -r tests/python/requirements.txt
        cp tests/python/requirements.txt .venv/requirements.txt
    fi
fi
