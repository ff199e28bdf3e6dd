package cli

import (
	_ "embed"
	"strings"
	"text/template"

	"github.com/alecthomas/kong"
)

type completionCommand struct {
	Shell string `arg:"" name:"SHELL" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help is the part of `completion --help` below its summary.
func (completionCommand) Help() string {
	return `Prints a script that teaches a shell the commands, flags and values of this program. It is for the name ` + program + `: put the binary, or a link to it, into the PATH under that name.

Examples:

  terraform-provider-ec2 completion bash > ~/.local/share/bash-completion/completions/terraform-provider-ec2
  terraform-provider-ec2 completion zsh > ~/.zfunc/_terraform-provider-ec2   # a directory of $fpath
  terraform-provider-ec2 completion fish > ~/.config/fish/completions/terraform-provider-ec2.fish
  source <(terraform-provider-ec2 completion bash)                           # for one shell`
}

// Run prints the script.
func (c *completionCommand) Run(env environment, parsed *kong.Context) error {
	return completionScripts.ExecuteTemplate(env.stdout, c.Shell, completedCommands(parsed.Model))
}

// completed is a command as the scripts know it.
type completed struct {
	Name, Help string
	Flags      []completedValue
	Arguments  []completedValue
}

// completedValue is a flag or an argument. Long and Short belong to flags.
type completedValue struct {
	Name, Help  string
	Long, Short string
	Repeated    bool
	Takes       string   // "nothing", "words", "files", "directories" or "text"
	Words       []string // that it takes
}

func completedCommands(model *kong.Application) (commands []completed) {
	for _, node := range model.Children {
		command := completed{Name: node.Name, Help: node.Help}
		for _, group := range node.AllFlags(true) {
			for _, flag := range group {
				value := completedValue{
					Name: flag.FormatPlaceHolder(), Help: flag.Help, Long: flag.Name, Repeated: flag.IsSlice(), Takes: "text",
				}
				if flag.Short != 0 {
					value.Short = string(flag.Short)
				}
				switch {
				case flag.IsBool():
					value.Takes = "nothing"
				case flag.Enum != "":
					value.Takes, value.Words = "words", flag.EnumSlice()
				case flag.PlaceHolder == "DIR":
					value.Takes = "directories"
				}
				command.Flags = append(command.Flags, value)
			}
		}
		for _, argument := range node.Positional {
			value := completedValue{Name: argument.Name, Help: argument.Help, Takes: "files"}
			if argument.Enum != "" {
				value.Takes, value.Words = "words", argument.EnumSlice()
			}
			command.Arguments = append(command.Arguments, value)
		}
		commands = append(commands, command)
	}
	return commands
}

// completionText has a template for each shell. Libraries for kong run the program at each press of the key, stand on a parser of 2019 and leave out
// the help of flags in zsh and fish.
//
//go:embed completion.tmpl
var completionText string

var completionScripts = template.Must(template.New("").Funcs(template.FuncMap{
	"program": func() string { return program },
	"join":    func(words []string) string { return strings.Join(words, " ") },
	"quote":   func(s string) string { return strings.ReplaceAll(s, "'", `'\''`) }, // inside single quotes of a POSIX shell
	"fish":    strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace,
	"bracket": strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`).Replace, // in a specification of zsh's _arguments
}).Parse(completionText))
