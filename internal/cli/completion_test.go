package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// completions is what is offered behind a line. files: the names of files, beside what is listed.
var completions = []struct {
	line  string
	offer string // separated by blanks, in the order of the alphabet
	files bool
}{
	{"", "completion convert inspect serve", false},
	{"in", "inspect", false},
	{"inspect --s", "--sha256", false},
	{"inspect ", "", true},
	{"convert --", "--force --help --json --strict --to --verify", false},
	{"convert --to ", "raw vmdk", false},
	{"convert --to v", "vmdk", false},
	{"convert --to=", "raw vmdk", false},
	{"convert --verify ", "", true},
	{"convert a ", "", true},
	{"serve ", "", false},
	{"serve --l", "--listen --log-format", false},
	{"serve --log-format ", "json text", false},
	{"serve --listen ", "", false},
	{"serve --data-dir ", "directory/", false},
	{"completion ", "bash fish zsh", false},
	{"completion z", "zsh", false},
}

// What each shell offers, asked of the shell itself.
func TestCompletion(t *testing.T) {
	for shell, ask := range map[string]string{
		// The words as bash makes them of a line; what it does itself behind an empty answer is told by the options.
		"bash": `source "$1"; COMP_LINE="terraform-provider-ec2 $2"
			read -ra COMP_WORDS <<<"${COMP_LINE//=/ = }"; [[ $COMP_LINE == *[\ =] ]] && COMP_WORDS+=("")
			COMP_CWORD=$((${#COMP_WORDS[@]}-1)); options=default
			compopt() { while (($#)); do case $1 in -o) options+=" $2";; +o) options=${options//$2/};; esac; shift 2; done; }
			_terraform_provider_ec2
			if ((${#COMPREPLY[@]})); then printf '%s\n' "${COMPREPLY[@]}"
			elif [[ $options == *dirnames* ]]; then compgen -d -S / -- ""
			elif [[ $options == *default* ]]; then compgen -f -- ""; fi`,
		// A shell in a pseudo-terminal, in which Tab is pressed.
		"zsh": `zmodload zsh/zpty; zpty z SCRIPT="$1" ZDOTDIR="$PWD/../zsh" zsh -i; zpty -r -m z line '*READY*'
			zpty -w -n z "terraform-provider-ec2 $2"$'\t'
			while zpty -r z line; do [[ $line == *OVER* ]] && break; [[ $line == *OFFER:* ]] && print -r -- ${line#*OFFER:}; done`,
		"fish": `source $argv[1]; complete -C "terraform-provider-ec2 $argv[2]" | string replace -r '\t.*' ''`,
	} {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skipf("no %s: what it makes of the script is not tested", shell)
			}
			code, script, stderr := run(t, "completion", shell)
			if code != 0 || stderr != "" {
				t.Fatalf("exit code %d, stderr %q", code, stderr)
			}
			dir := t.TempDir()
			must(t, os.Mkdir(dir+"/zsh", 0o700))
			must(t, os.MkdirAll(dir+"/work/directory", 0o700))
			write(t, dir+"/work", "file", nil)
			write(t, dir+"/zsh", ".zshrc", []byte(zshrc))
			file := write(t, dir, "script", []byte(script))
			for _, c := range completions {
				t.Run(c.line, func(t *testing.T) {
					t.Parallel()
					args := []string{"-c", ask, "sh", file, c.line}
					if shell == "fish" {
						args = []string{"--no-config", "-c", ask, file, c.line}
					}
					command := exec.CommandContext(t.Context(), path, args...)
					command.Dir, command.WaitDelay = dir+"/work", time.Minute
					command.Env = append(os.Environ(), "LC_ALL=C", "HOME="+dir) // shells complain of a locale and of a home that are not there
					out, err := command.CombinedOutput()
					if err != nil {
						t.Logf("%s: %v", path, err) // a shell that offers nothing fails
					}
					want := strings.Fields(c.offer)
					if c.files {
						want = append(want, "directory", "file")
					}
					var got []string
					for _, word := range strings.Fields(string(out)) {
						if c.files || word == "directory" { // fish and bash mark directories, zsh does not
							word = strings.TrimSuffix(word, "/")
						}
						if word == "directory" && !c.files {
							word += "/"
						}
						if word = strings.TrimPrefix(word, "--to="); word != "-h" && word != "--help" || strings.Contains(c.line, "--") {
							got = append(got, word)
						}
					}
					if shell == "zsh" && len(want) == 0 { // which offers the flags then
						got = slices.DeleteFunc(got, func(word string) bool { return strings.HasPrefix(word, "--") })
					}
					slices.Sort(got)
					if got = slices.Compact(got); !slices.Equal(got, want) {
						t.Errorf("offers %q, want %q; it says %q", got, want, out)
					}
				})
			}
		})
	}
	refused(t, 2, []string{"completion", "tcsh"}, "tcsh", "bash", "completion --help")
}

// zshrc has zsh say what it would offer.
const zshrc = `PROMPT=
autoload -U compinit; compinit -u -D
source $SCRIPT
bindkey '^I' complete-word
compadd() {
	if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
	local -a hits; local hit
	builtin compadd -A hits "$@"
	for hit in $hits; do print -r -- "OFFER:$hit"; done
	builtin compadd "$@"
}
comppostfuncs=(over); over() { print OVER; exit }
print READY
`

// The scripts know every command and every flag: they are made from the parser's own model.
func TestCompletionIsWhole(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		_, script, _ := run(t, "completion", shell)
		for _, word := range []string{"inspect", "convert", "serve", "completion", "sha256", "verify", "allow-https", "data-dir", "raw vmdk"} {
			if !strings.Contains(script, word) {
				t.Errorf("%s: %q is not in the script", shell, word)
			}
		}
	}
	if filepath.Separator == '/' {
		if path, err := exec.LookPath("bash"); err == nil {
			_, script, _ := run(t, "completion", "bash")
			command := exec.CommandContext(t.Context(), path, "-c", script+"\ncomplete -p terraform-provider-ec2")
			command.Env = append(os.Environ(), "LC_ALL=C")
			if out, err := command.CombinedOutput(); err != nil ||
				string(out) != "complete -o default -F _terraform_provider_ec2 terraform-provider-ec2\n" {
				t.Errorf("%v: %s", err, out)
			}
		}
	}
}
