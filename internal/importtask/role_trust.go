package importtask

import (
	"cmp"
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

// verdict is what a trust policy, or a statement of it, has against VM Import: what certainly keeps it out, and the conditions that only AWS can judge.
type verdict struct{ faults, doubts []string }

// lighter orders verdicts: a fault weighs more than any number of doubts.
func (v verdict) lighter(than verdict) bool {
	return cmp.Or(cmp.Compare(len(v.faults), len(than.faults)), cmp.Compare(len(v.doubts), len(than.doubts))) < 0
}

// judgeTrust says what in a trust policy keeps VM Import out, nothing where it may assume the role. The document is foreign: whatever is in it, it is
// either understood as IAM does or passed over.
// https://docs.aws.amazon.com/vm-import/latest/userguide/required-permissions.html#vmimport-role
func judgeTrust(document string, by assumer) (verdict, error) {
	var p trustPolicy
	if err := json.Unmarshal([]byte(document), &p); err != nil {
		return verdict{}, err
	}
	if len(p.Statement) == 0 {
		return verdict{}, errors.New("it has no statements")
	}
	var named, denied []string // named: whom else it trusts
	var best verdict
	admitted := false
	for _, s := range p.Statement {
		switch {
		case s.Effect == "Deny":
			denied = append(denied, s.denies(by)...)
		case s.Effect != "Allow":
		case !s.names():
			named = append(named, s.Principal.Service...)
		default:
			if v := s.lacks(by); !admitted || v.lighter(best) {
				admitted, best = true, v
			}
		}
	}
	if !admitted {
		fault := "no statement of it allows vmie.amazonaws.com (Principal.Service) to assume the role"
		if len(named) > 0 {
			fault += ", only " + strings.Join(shown(named), ", ")
		}
		best.faults = []string{fault}
	}
	best.faults = append(best.faults, denied...)
	return best, nil
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

// trustPrincipal is everyone or the services of an object; users and roles of AWS do not matter.
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
	var object struct{ Service, AWS texts }
	if json.Unmarshal(b, &object) == nil {
		p.Service = object.Service
		// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-anonymous
		p.Everyone = slices.Contains(object.AWS, "*")
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
func (s trustStatement) lacks(by assumer) (v verdict) {
	if len(s.NotAction) == 0 && !s.assumes() {
		v.faults = append(v.faults, fmt.Sprintf("it allows vmie.amazonaws.com %s, not sts:AssumeRole", strings.Join(shown(s.Action), ", ")))
	}
	for _, c := range s.conditions() {
		switch met, known := c.met(by); {
		case !known:
			v.doubts = append(v.doubts, fmt.Sprintf("it asks for %s (%s %s)", shown([]string{c.key})[0], shown([]string{c.operator})[0], strings.Join(shown(c.values), ", ")))
		case !met:
			v.faults = append(v.faults, c.fault(by))
		}
	}
	return v
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

// fault says why VM Import does not meet the condition.
func (c condition) fault(by assumer) string {
	switch strings.ToLower(c.key) {
	case "sts:externalid":
		return fmt.Sprintf("its condition on sts:Externalid wants %s; VM Import always sends %q", c.wants(), externalID)
	case "aws:sourceaccount":
		return fmt.Sprintf("its condition on aws:SourceAccount wants %s; this account is %s", c.wants(), by.account)
	default:
		return fmt.Sprintf("its condition on aws:SourceArn wants %s; the imports of this account and Region are arn:aws:vmie:%s:%s:*", c.wants(), by.region, by.account)
	}
}

func (c condition) wants() string {
	values := strings.Join(shown(c.values), ", ")
	switch {
	case strings.Contains(strings.ToLower(c.operator), "not"):
		return "anything but " + values
	case literal(c.plainOperator()) && strings.ContainsAny(values, "*?"):
		return values + " to the letter, because StringEquals knows no wildcards (StringLike and ArnLike do)"
	}
	return values
}

// plainOperator is the operator without what says how many values there must be, and whether any.
func (c condition) plainOperator() string {
	operator := strings.ToLower(c.operator)
	for _, prefix := range []string{"foranyvalue:", "forallvalues:"} {
		operator = strings.TrimPrefix(operator, prefix)
	}
	return strings.TrimSuffix(operator, "ifexists")
}

// literal reports whether an operator takes * and ? as any other character. ArnEquals does not.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
func literal(operator string) bool {
	return strings.HasPrefix(operator, "string") && !strings.HasSuffix(operator, "like")
}

// met reports whether VM Import meets the condition, and whether that can be told. What VM Import sends with its request is its external id, and the
// account and the ARN for which it asks.
func (c condition) met(by assumer) (met, known bool) {
	operator := c.plainOperator()
	var fits func(pattern string) bool
	switch strings.ToLower(c.key) {
	case "sts:externalid":
		fits = func(p string) bool { return equals(operator, p, externalID) }
	case "aws:sourceaccount":
		if by.account == "" {
			return false, false
		}
		fits = func(p string) bool { return equals(operator, p, by.account) }
	case "aws:sourcearn":
		if by.account == "" {
			return false, false
		}
		fits = func(p string) bool { return admitsARN(operator, p, by) }
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
func admitsARN(operator, pattern string, by assumer) bool {
	if literal(operator) && strings.ContainsAny(pattern, "*?") {
		return false // no ARN has such characters
	}
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
