package main

import (
	"time"

	"google.golang.org/grpc/keepalive"
)

// maxAgeOf makes connections end early, with a GOAWAY, as behind a load balancer.
func maxAgeOf(age time.Duration) keepalive.ServerParameters {
	return keepalive.ServerParameters{MaxConnectionAge: age, MaxConnectionAgeGrace: age}
}
