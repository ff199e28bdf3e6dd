package importtask

import (
	"iter"
	"strings"
)

// Failure is one entry of the catalogue of failures, as the documentation shows it.
type Failure struct {
	Codes []string // error codes of EC2, any of them; a trailing * stands for any rest
	Texts []string // parts of the message in lower case: all of them for an error of a call, any of them for a failed task
	Sign  string   // how it shows, where no code and no text tells
	Explanation
}

// TaskFailures is what ExplainTask knows, in the order in which it looks.
func TaskFailures() iter.Seq[Failure] {
	return func(yield func(Failure) bool) {
		for _, f := range taskFailures {
			if !yield(Failure{Texts: f.texts, Explanation: f.Explanation}) {
				return
			}
		}
	}
}

// CallFailures is what ExplainCall knows, in the order in which it looks.
func CallFailures() iter.Seq[Failure] {
	return func(yield func(Failure) bool) {
		for _, f := range callFailures {
			if !yield(Failure{Codes: strings.Fields(f.codes), Texts: f.texts, Sign: f.sign, Explanation: f.Explanation}) {
				return
			}
		}
	}
}
