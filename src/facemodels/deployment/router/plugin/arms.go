// Package arms gives every user one arm of an A/B test, always the same one. It also answers for
// models of which no server is ready.
//
// Traefik has no rule and no balancer that hashes a header. This middleware does: SHA-256 of salt
// and user gives a place from 0 to 99, and the weights, laid end to end, say whose place that is.
// The arm's id goes into a request header, which the rules of the router's children read.
package arms

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"net/http"
)

// chosen is the header for the children; one that a client sent counts for nothing.
const chosen = "X-Facemodels-Arm"

// Arm is one side of the test.
type Arm struct {
	ID     string `json:"id"`
	Weight int    `json:"weight"` // percent of the users
}

// Config says where the user stands, and the arms.
type Config struct {
	Header string `json:"header"`
	Salt   string `json:"salt"`
	Arms   []Arm  `json:"arms"`
	Nobody string `json:"nobody"` // the body of an answer 503 to every request; "" routes them
}

// CreateConfig is what Traefik fills.
func CreateConfig() *Config { return &Config{} }

type chooser struct {
	next   http.Handler
	config *Config
}

// New is called for every configuration.
func New(_ context.Context, next http.Handler, config *Config, _ string) (http.Handler, error) {
	return &chooser{next: next, config: config}, nil
}

func (c *chooser) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	if c.config.Nobody != "" {
		rw.Header().Set("Content-Type", "application/json")
		rw.Header().Set("Retry-After", "1")
		rw.WriteHeader(http.StatusServiceUnavailable)
		_, _ = rw.Write([]byte(c.config.Nobody))
		return
	}
	req.Header.Del(chosen)
	if user := req.Header.Get(c.config.Header); user != "" {
		digest := sha256.Sum256([]byte(c.config.Salt + "\x00" + user))
		place := int(binary.BigEndian.Uint64(digest[:8]) % 100)
		for _, arm := range c.config.Arms {
			if place < arm.Weight {
				req.Header.Set(chosen, arm.ID)
				break
			}
			place -= arm.Weight
		}
	}
	c.next.ServeHTTP(rw, req)
}
