package localec2

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
)

// maxFilterValues is EC2's cap on the values of one filter.
const maxFilterValues = 200

// filter is one filter of a describe call: an item passes if any of the values matches.
type filter struct {
	name     string
	patterns []wildcards
}

// filters reads Filter.N, and Filters.N as only DescribeImportSnapshotTasks has it: clients that mix the two up are served alike. Names that
// the action does not know are refused; "tag:" stands for tag:<any key>.
func (p *params) filters(known ...string) ([]filter, error) {
	var filters []filter
	for _, prefix := range []string{"Filter", "Filters"} {
		indices, err := p.indices(prefix)
		if err != nil {
			return nil, err
		}
		for _, i := range indices {
			name := p.take(prefix + "." + i + ".Name")
			values, err := p.list(prefix + "." + i + ".Value")
			if err != nil {
				return nil, err
			}
			tagKey, isTag := strings.CutPrefix(name, "tag:")
			switch {
			case name == "":
				return nil, failf("InvalidParameterValue", "The filter 'null' is invalid")
			case isTag && (tagKey == "" || !slices.Contains(known, "tag:")), !isTag && !slices.Contains(known, name):
				return nil, failf("InvalidParameterValue", "The filter '%s' is invalid", shorten(name))
			case len(values) == 0:
				return nil, missingParameter(prefix + "." + i + ".Value")
			case len(values) > maxFilterValues:
				return nil, failf("FilterLimitExceeded", "The maximum number of filter values specified on a single call is %d", maxFilterValues)
			}
			f := filter{name: name}
			for _, v := range values {
				f.patterns = append(f.patterns, compile(v))
			}
			filters = append(filters, f)
		}
	}
	return filters, nil
}

// passes reports whether an item passes all filters. attribute returns what the item has under a filter's name; tags are looked up here.
func passes(filters []filter, tags []tag, attribute func(name string) string) bool {
	for _, f := range filters {
		var have []string
		if key, ok := strings.CutPrefix(f.name, "tag:"); ok {
			for _, t := range tags {
				if t.Key == key {
					have = append(have, t.Value)
				}
			}
		} else if f.name == "tag-key" {
			for _, t := range tags {
				have = append(have, t.Key)
			}
		} else if v := attribute(f.name); v != "" || f.name == "value" {
			have = append(have, v) // only a tag's value can be "" and yet be there
		}
		matched := slices.ContainsFunc(have, func(v string) bool {
			return slices.ContainsFunc(f.patterns, func(w wildcards) bool { return w.matches(v) })
		})
		if !matched {
			return false
		}
	}
	return true
}

// wildcards compare like EC2's filters: '*' is any text, '?' any character, a backslash takes either literally.
type wildcards []rune

// The wildcards of a pattern are told from the characters that they look like by values that are no characters.
const (
	anyText rune = -1 - iota
	anyRune
)

func compile(value string) wildcards {
	var p wildcards
	runes := []rune(value)
	for i := 0; i < len(runes); i++ {
		switch r := runes[i]; {
		case r == '*' && len(p) > 0 && p[len(p)-1] == anyText: // one after another says no more
		case r == '*':
			p = append(p, anyText)
		case r == '?':
			p = append(p, anyRune)
		case r == '\\' && i+1 < len(runes):
			i++
			p = append(p, runes[i])
		default:
			p = append(p, r)
		}
	}
	return p
}

// matches goes back to the last star only, so that a hostile pattern costs no more than its length times the text's.
func (p wildcards) matches(text string) bool {
	t := []rune(text)
	i, j := 0, 0
	star, mark := -1, 0
	for j < len(t) {
		switch {
		case i < len(p) && p[i] == anyText:
			star, mark = i, j
			i++
		case i < len(p) && (p[i] == anyRune || p[i] == t[j]):
			i++
			j++
		case star < 0:
			return false
		default:
			mark++
			i, j = star+1, mark
		}
	}
	return i == len(p) || i == len(p)-1 && p[i] == anyText
}

// page is the part of a list that a call asks for. A list is ordered by the sequence numbers of its rows, and a token names the last row
// given: rows that come or go between two pages shift nothing.
type page struct {
	action string
	after  int64
	max    int // 0: all
}

// page reads MaxResults, which EC2 bounds differently per action, and NextToken.
func (p *params) page(action string, least int) (page, error) {
	const most = 1000
	pg := page{action: action}
	n, err := p.integer("MaxResults")
	if err != nil {
		return page{}, err
	}
	if n != nil {
		if *n < least {
			return page{}, failf("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value greater than or equal to %d.", *n, least)
		}
		if *n > most {
			return page{}, failf("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value less than or equal to %d.", *n, most)
		}
		pg.max = *n
	}
	if token := p.take("NextToken"); token != "" {
		if pg.after, err = pg.decode(token); err != nil {
			return page{}, err
		}
	}
	return pg, nil
}

func (pg page) encode(seq int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(pg.action + " " + strconv.FormatInt(seq, 10)))
}

func (pg page) decode(token string) (int64, error) {
	invalid := failf("InvalidPaginationToken", "The specified pagination token is not valid: '%s'.", shorten(token))
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return 0, invalid
	}
	digits, ok := strings.CutPrefix(string(raw), pg.action+" ")
	if !ok {
		return 0, invalid
	}
	seq, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || seq < 1 {
		return 0, invalid
	}
	return seq, nil
}

// cut returns the page's part of all items that pass, which are in order, and the token of the next page, nil on the last.
func cut[T any](pg page, items []T, seq func(T) int64) ([]T, *string) {
	first, _ := slices.BinarySearchFunc(items, pg.after, func(item T, after int64) int {
		if seq(item) <= after {
			return -1
		}
		return 1
	})
	items = items[first:]
	if pg.max == 0 || len(items) <= pg.max {
		return items, nil
	}
	items = items[:pg.max]
	token := pg.encode(seq(items[len(items)-1]))
	return items, &token
}
