package importtask

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// assumer is who assumes a service role: VM Import, for an account in a Region. An account that is not known is "".
type assumer struct{ account, region string }

const externalID = "vmimport"

// judgeTrust says what in a trust policy keeps VM Import out, nothing where it may assume the role. The document is foreign: whatever is in it, it is
// either understood as IAM does or passed over.
// https://docs.aws.amazon.com/vm-import/latest/userguide/required-permissions.html#vmimport-role
func judgeTrust(document string, by assumer) (faults []string, err error) {
	var p trustPolicy
	if err := json.Unmarshal([]byte(document), &p); err != nil {
		return nil, err
	}
	if len(p.Statement) == 0 {
		return nil, errors.New("it has no statements")
	}
	var named []string // whom else it trusts
	best := []string(nil)
	admitted := false
	for _, s := range p.Statement {
		switch {
		case s.Effect == "Deny":
			faults = append(faults, s.denies(by)...)
		case s.Effect != "Allow":
		case !s.names():
			named = append(named, s.Principal.Service...)
		default:
			if f := s.lacks(by); !admitted || len(f) < len(best) {
				admitted, best = true, f
			}
		}
	}
	if admitted {
		return append(best, faults...), nil
	}
	fault := "no statement of it allows vmie.amazonaws.com (Principal.Service) to assume the role"
	if len(named) > 0 {
		fault += ", only " + strings.Join(shown(named), ", ")
	}
	return append([]string{fault}, faults...), nil
}

// trustPolicy is a policy document as far as it matters here. IAM takes one or many for nearly every member.
type trustPolicy struct{ Statement oneOrMany[trustStatement] }

type trustStatement struct {
	Sid          string
	Effect       string
	Principal    trustPrincipal
	NotPrincipal json.RawMessage
	Action       texts
	NotAction    texts
	Condition    map[string]map[string]texts
}

// trustPrincipal is "*" or the services of an object; users and roles of AWS do not matter.
type trustPrincipal struct {
	Everyone bool
	Service  texts
}

// UnmarshalJSON passes over what is no principal.
func (p *trustPrincipal) UnmarshalJSON(b []byte) error {
	var everyone string
	if json.Unmarshal(b, &everyone) == nil {
		p.Everyone = everyone == "*"
		return nil
	}
	var object struct{ Service texts }
	if json.Unmarshal(b, &object) == nil {
		p.Service = object.Service
	}
	return nil
}

// oneOrMany is a JSON value or a list of such.
type oneOrMany[T any] []T

// UnmarshalJSON wants each of them to be a T.
func (m *oneOrMany[T]) UnmarshalJSON(b []byte) error {
	var many []T
	if json.Unmarshal(b, &many) == nil {
		*m = many
		return nil
	}
	var one T
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	*m = oneOrMany[T]{one}
	return nil
}

// texts are strings; IAM takes numbers and booleans as such.
type texts []string

// UnmarshalJSON passes over what is no text.
func (t *texts) UnmarshalJSON(b []byte) error {
	var values oneOrMany[any]
	if err := json.Unmarshal(b, &values); err != nil {
		return err
	}
	*t = nil
	for _, v := range values {
		switch v := v.(type) {
		case string:
			*t = append(*t, v)
		case float64:
			*t = append(*t, strconv.FormatFloat(v, 'f', -1, 64))
		case bool:
			*t = append(*t, strconv.FormatBool(v))
		}
	}
	return nil
}

// names reports whether the statement is about VM Import. China's partition writes the same service with and without its own suffix.
func (s trustStatement) names() bool {
	return s.Principal.Everyone || slices.ContainsFunc(s.Principal.Service, func(service string) bool {
		switch strings.ToLower(service) {
		case "vmie.amazonaws.com", "vmie.amazonaws.com.cn", "*":
			return true
		}
		return false
	})
}

// lacks are the reasons why a statement that names VM Import does not let it in all the same.
func (s trustStatement) lacks(by assumer) (faults []string) {
	if len(s.NotAction) == 0 && !s.assumes() {
		faults = append(faults, fmt.Sprintf("it allows vmie.amazonaws.com %s, not sts:AssumeRole", strings.Join(shown(s.Action), ", ")))
	}
	for _, c := range s.conditions() {
		if fault := c.lacks(by); fault != "" {
			faults = append(faults, fault)
		}
	}
	return faults
}

// denies says that a Deny statement rules VM Import out, where that is certain: one whose conditions all hold, or are none.
func (s trustStatement) denies(by assumer) []string {
	if len(s.NotPrincipal) > 0 || len(s.NotAction) > 0 || !s.names() || !s.assumes() {
		return nil
	}
	for _, c := range s.conditions() {
		if met, known := c.met(by); !known || !met {
			return nil
		}
	}
	name := "a Deny statement"
	if s.Sid != "" {
		name += fmt.Sprintf(" (%s)", shown([]string{s.Sid})[0])
	}
	return []string{name + " of it rules VM Import out"}
}

func (s trustStatement) assumes() bool {
	return slices.ContainsFunc(s.Action, func(a string) bool { return like(strings.ToLower(a), "sts:assumerole") })
}

// conditions are those of the statement, in an order that does not change.
func (s trustStatement) conditions() (all []condition) {
	for _, operator := range slices.Sorted(maps.Keys(s.Condition)) {
		for _, key := range slices.Sorted(maps.Keys(s.Condition[operator])) {
			all = append(all, condition{operator, key, s.Condition[operator][key]})
		}
	}
	return all
}

// condition is one key of a statement's conditions; any of its values will do.
type condition struct {
	operator, key string
	values        texts
}

// lacks says why VM Import does not meet the condition; "" where it does.
func (c condition) lacks(by assumer) string {
	met, known := c.met(by)
	if met && known {
		return ""
	}
	values := strings.Join(shown(c.values), ", ")
	switch key := strings.ToLower(c.key); {
	case !known:
		return fmt.Sprintf("it asks for %s (%s %s), which VM Import may not meet", shown([]string{c.key})[0], shown([]string{c.operator})[0], values)
	case key == "sts:externalid":
		return fmt.Sprintf("its condition on sts:Externalid wants %s; VM Import always sends %q", c.wants(values), externalID)
	case key == "aws:sourceaccount":
		return fmt.Sprintf("its condition on aws:SourceAccount wants %s; this account is %s", c.wants(values), by.account)
	default:
		return fmt.Sprintf("its condition on aws:SourceArn wants %s; the imports of this account and Region are arn:aws:vmie:%s:%s:*", c.wants(values), by.region, by.account)
	}
}

func (c condition) wants(values string) string {
	if strings.Contains(strings.ToLower(c.operator), "not") {
		return "anything but " + values
	}
	return values
}

// met reports whether VM Import meets the condition, and whether that can be told. What VM Import sends with its request is its external id, and the
// account and the ARN for which it asks.
func (c condition) met(by assumer) (met, known bool) {
	operator := strings.ToLower(c.operator)
	for _, prefix := range []string{"foranyvalue:", "forallvalues:"} {
		operator = strings.TrimPrefix(operator, prefix)
	}
	operator = strings.TrimSuffix(operator, "ifexists")
	var fits func(pattern string) bool
	switch strings.ToLower(c.key) {
	case "sts:externalid":
		fits = func(p string) bool { return equals(operator, p, externalID) }
	case "aws:sourceaccount":
		if by.account == "" {
			return true, true
		}
		fits = func(p string) bool { return equals(operator, p, by.account) }
	case "aws:sourcearn":
		if by.account == "" {
			return true, true
		}
		fits = func(p string) bool { return admitsARN(p, by) }
	default:
		return false, false
	}
	any := slices.ContainsFunc(c.values, fits)
	switch operator {
	case "null": // whether the key must be absent; it is there
		return !slices.Contains(c.values, "true"), true
	case "stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike":
		return any, true
	case "stringnotequals", "stringnotequalsignorecase", "stringnotlike", "arnnotequals", "arnnotlike":
		return !any, true
	}
	return false, false
}

func equals(operator, pattern, value string) bool {
	switch {
	case strings.HasSuffix(operator, "like"):
		return like(pattern, value)
	case strings.HasSuffix(operator, "ignorecase"):
		return strings.EqualFold(pattern, value)
	}
	return pattern == value
}

// admitsARN reports whether a pattern may be that of an import of this account and Region. What stands behind the account in the ARN is VM Import's.
func admitsARN(pattern string, by assumer) bool {
	parts := strings.SplitN(pattern, ":", 6)
	if len(parts) < 6 {
		return strings.HasSuffix(pattern, "*") // it leaves the rest open
	}
	return like(parts[2], "vmie") && like(parts[3], by.region) && like(parts[4], by.account)
}

// like is the comparison of IAM: * stands for any text, ? for any character.
func like(pattern, value string) bool {
	for len(pattern) > 0 {
		switch {
		case pattern[0] == '*':
			pattern = strings.TrimLeft(pattern, "*")
			if pattern == "" {
				return true
			}
			for i := range len(value) {
				if like(pattern, value[i:]) {
					return true
				}
			}
			return false
		case value == "" || pattern[0] != '?' && pattern[0] != value[0]:
			return false
		}
		pattern, value = pattern[1:], value[1:]
	}
	return value == ""
}

// shown are foreign words as a message shows them: quoted, and not without end.
func shown(words []string) []string {
	const most = 100
	var list []string
	for _, w := range words {
		if len(w) > most {
			w = w[:most] + "..."
		}
		list = append(list, fmt.Sprintf("%q", w))
	}
	if len(list) > 5 {
		list = append(list[:5], "...")
	}
	if list == nil {
		return []string{"nothing"}
	}
	return list
}
