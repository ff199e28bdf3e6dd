package localec2

import (
	"context"
	"slices"
	"strings"
)

// decodeTags reads Tag.N.Key and Tag.N.Value.
func decodeTags(p *params, prefix string) ([]tag, error) {
	indices, err := p.indices(prefix)
	if err != nil {
		return nil, err
	}
	var tags []tag
	for _, i := range indices {
		tags = append(tags, tag{Key: p.take(prefix + "." + i + ".Key"), Value: p.take(prefix + "." + i + ".Value")})
	}
	return tags, nil
}

// taggable reads ResourceId.N: ids of what can be tagged here.
func taggable(p *params) ([]string, error) {
	ids, err := p.list("ResourceId")
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, missingParameter("resourceIdSet")
	}
	for _, id := range ids {
		if !taskID.MatchString(id) && !snapshotID.MatchString(id) {
			return nil, failf("InvalidID", "The ID '%s' is not valid", shorten(id))
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

func resourceNotFound(id string) *apiError {
	if resourceType(id) == taskResourceType {
		return failf("InvalidID", "The ID '%s' is not valid: the import task was not found.", id)
	}
	return snapshotNotFound(id)
}

func (e *Endpoint) createTags(s scope, p *params) (call, error) {
	ids, err := taggable(p)
	if err != nil {
		return nil, err
	}
	tags, err := decodeTags(p, "Tag")
	if err != nil {
		return nil, err
	}
	if len(tags) == 0 {
		return nil, missingParameter("tagSet")
	}
	if err := checkTags(tags); err != nil {
		return nil, err
	}
	return func(context.Context) (answer, error) {
		err := e.store.changeTags(s, ids, func(tx transaction, id string) error { return putTags(tx, s, id, tags) })
		return &returned{Return: true}, err
	}, nil
}

// deleteTags removes tags by key, and by value where one is given: an absent value stands for any, "" for the empty one only. Without tags,
// it removes all.
func (e *Endpoint) deleteTags(s scope, p *params) (call, error) {
	ids, err := taggable(p)
	if err != nil {
		return nil, err
	}
	indices, err := p.indices("Tag")
	if err != nil {
		return nil, err
	}
	type removal struct {
		key   string
		value *string
	}
	var removals []removal
	for _, i := range indices {
		r := removal{key: p.take("Tag." + i + ".Key")}
		if err := checkTagKey(r.key); err != nil {
			return nil, err
		}
		if v, ok := p.lookup("Tag." + i + ".Value"); ok {
			r.value = &v
		}
		removals = append(removals, r)
	}
	return func(context.Context) (answer, error) {
		err := e.store.changeTags(s, ids, func(tx transaction, id string) error {
			if len(removals) == 0 {
				return removeAllTags(tx, s, id)
			}
			for _, r := range removals {
				if err := removeTag(tx, s, id, r.key, r.value); err != nil {
					return err
				}
			}
			return nil
		})
		return &returned{Return: true}, err
	}, nil
}

type describeTagsAnswer struct {
	head
	Tags      set[tagDescription] `xml:"tagSet"`
	NextToken *string             `xml:"nextToken"`
}

type tagDescription struct {
	ResourceID   string `xml:"resourceId"`
	ResourceType string `xml:"resourceType"`
	tag
}

func (e *Endpoint) describeTags(s scope, p *params) (call, error) {
	filters, err := p.filters("key", "resource-id", "resource-type", "tag:", "value")
	if err != nil {
		return nil, err
	}
	pg, err := p.page("DescribeTags", 5)
	if err != nil {
		return nil, err
	}
	return func(context.Context) (answer, error) {
		rows, err := e.store.allTags(s)
		if err != nil {
			return nil, err
		}
		rows = slices.DeleteFunc(rows, func(r tagRow) bool {
			return !passes(filters, []tag{r.tag}, func(name string) string {
				switch name {
				case "key":
					return r.Key
				case "value":
					return r.Value
				case "resource-id":
					return r.ResourceID
				default:
					return r.ResourceType
				}
			})
		})
		a := &describeTagsAnswer{}
		rows, a.NextToken = cut(pg, rows, func(r tagRow) int64 { return r.Seq })
		for _, r := range rows {
			a.Tags.Items = append(a.Tags.Items, tagDescription{r.ResourceID, r.ResourceType, r.tag})
		}
		slices.SortStableFunc(a.Tags.Items, func(x, y tagDescription) int { return strings.Compare(x.ResourceID, y.ResourceID) })
		return a, nil
	}, nil
}
