package kube

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fingerprint stands for a value: two values have the same one exactly if
// apiequality.Semantic.DeepEqual holds for them (quantities by amount, times
// by instant, nil the same as empty). It lets a pod template be compared after
// the template itself was dropped from the cache.
type fingerprint [16]byte

// fingerprintOf panics for kinds that API types do not hold (func, chan,
// interface, float, complex).
func fingerprintOf(v any) fingerprint {
	var c canon
	c.value(reflect.ValueOf(v))
	sum := sha256.Sum256(c.buf)
	return fingerprint(sum[:16])
}

// templateFingerprint ignores the label by which the Deployment controller
// tells its ReplicaSets' templates from the Deployment's own, as the controller
// does itself when it looks for the current ReplicaSet.
func templateFingerprint(t *corev1.PodTemplateSpec) fingerprint {
	if _, ok := t.Labels[labelTemplateHash]; !ok {
		return fingerprintOf(t)
	}
	bare := *t
	bare.Labels = make(map[string]string, len(t.Labels))
	for k, v := range t.Labels {
		if k != labelTemplateHash {
			bare.Labels[k] = v
		}
	}
	return fingerprintOf(&bare)
}

// canon writes values in a form in which equal values are equal bytes and
// different values are different bytes: every length is written out.
type canon struct{ buf []byte }

func (c *canon) number(n uint64) { c.buf = binary.AppendUvarint(c.buf, n) }
func (c *canon) text(s string)   { c.number(uint64(len(s))); c.buf = append(c.buf, s...) }
func (c *canon) instant(t time.Time) {
	c.number(uint64(t.Unix()))
	c.number(uint64(t.Nanosecond()))
}

var (
	quantityType  = reflect.TypeFor[resource.Quantity]()
	timeType      = reflect.TypeFor[time.Time]()
	metaTimeType  = reflect.TypeFor[metav1.Time]()
	microTimeType = reflect.TypeFor[metav1.MicroTime]()
	fieldsType    = reflect.TypeFor[metav1.FieldsV1]()
)

func (c *canon) value(v reflect.Value) {
	switch v.Type() {
	case quantityType:
		c.quantity(v.Interface().(resource.Quantity))
		return
	case timeType:
		c.instant(v.Interface().(time.Time))
		return
	case metaTimeType:
		c.instant(v.Interface().(metav1.Time).Time)
		return
	case microTimeType:
		c.instant(v.Interface().(metav1.MicroTime).Time)
		return
	case fieldsType:
		return // bookkeeping of the API server, not part of a template
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			c.value(v.Field(i))
		}
	case reflect.Pointer:
		if v.IsNil() {
			c.number(0)
			return
		}
		c.number(1)
		c.value(v.Elem())
	case reflect.Slice, reflect.Array:
		c.number(uint64(v.Len()))
		for i := range v.Len() {
			c.value(v.Index(i))
		}
	case reflect.Map:
		c.table(v)
	case reflect.String:
		c.text(v.String())
	case reflect.Bool:
		if v.Bool() {
			c.number(1)
		} else {
			c.number(0)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		c.number(uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		c.number(v.Uint())
	default:
		panic(fmt.Sprintf("fingerprint of %s: kind %s is not part of the API's types", v.Type(), v.Kind()))
	}
}

// table writes a map in order of its keys, which are strings in every API type.
func (c *canon) table(v reflect.Value) {
	keys := make([]string, 0, v.Len())
	byKey := make(map[string]reflect.Value, v.Len())
	for iter := v.MapRange(); iter.Next(); {
		key := iter.Key().String()
		keys = append(keys, key)
		byKey[key] = iter.Value()
	}
	slices.Sort(keys)
	c.number(uint64(len(keys)))
	for _, key := range keys {
		c.text(key)
		c.value(byKey[key])
	}
}

// quantity writes the amount in one fixed format: 1024 and 1Ki are equal.
func (c *canon) quantity(q resource.Quantity) {
	amount := q.DeepCopy()
	amount.Format = resource.DecimalSI
	number, suffix := amount.CanonicalizeBytes(nil)
	c.text(string(number) + string(suffix))
}
