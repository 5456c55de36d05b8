// specserver serves registryfacade.SpecProvider with the reference implementation of gRPC and protobuf, so that tests
// of the client meet bytes that others have written. It answers from a file that is read for every call:
//
//	{"name": {"spec": {...}, "code": 0, "message": "", "delayMs": 0}}
//
// A name that is not in the file is NotFound. SIGTERM lets running calls finish (GOAWAY). One line per call on stderr.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

const maxMessage = 64 << 20

type answer struct {
	Spec    json.RawMessage `json:"spec"`
	Code    codes.Code      `json:"code"`
	Message string          `json:"message"`
	DelayMs int             `json:"delayMs"`
}

type server struct {
	file     string
	messages protoreflect.MessageDescriptors
}

func main() {
	address := flag.String("addr", "127.0.0.1:0", "where to listen")
	file := flag.String("specs", "", "answers, as JSON")
	crt := flag.String("crt", "", "certificate; none is plain text")
	key := flag.String("key", "", "its key")
	ca := flag.String("ca", "", "who signs the clients' certificates; empty asks for none")
	maxTLS := flag.String("maxtls", "1.3", "latest version of TLS")
	maxAge := flag.Duration("maxage", 0, "connections are asked to leave after this")
	flag.Parse()

	s := &server{file: *file, messages: describe().Messages()}
	options := []grpc.ServerOption{grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage)}
	if *crt != "" {
		options = append(options, grpc.Creds(credentials.NewTLS(tlsConfig(*crt, *key, *ca, *maxTLS))))
	}
	if *maxAge > 0 {
		options = append(options, grpc.KeepaliveParams(maxAgeOf(*maxAge)))
	}
	g := grpc.NewServer(options...)
	g.RegisterService(&grpc.ServiceDesc{
		ServiceName: "registryfacade.SpecProvider",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "GetImageSpec", Handler: s.handle}},
	}, s)
	listener, err := net.Listen("tcp", *address)
	check(err)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		g.GracefulStop()
	}()
	log.SetFlags(0)
	log.Printf("listening on %s", listener.Addr())
	check(g.Serve(listener))
}

func (s *server) handle(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	request := dynamicpb.NewMessage(s.messages.ByName("GetImageSpecRequest"))
	if err := decode(request); err != nil {
		return nil, err
	}
	id := request.Get(request.Descriptor().Fields().ByName("id")).String()
	_, hasDeadline := ctx.Deadline()
	log.Printf("call %q deadline=%t", id, hasDeadline)
	found, err := s.find(id)
	if err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		log.Printf("left %q", id)
		return nil, ctx.Err()
	case <-time.After(time.Duration(found.DelayMs) * time.Millisecond):
	}
	if found.Code != codes.OK {
		return nil, status.Error(found.Code, found.Message)
	}
	response := dynamicpb.NewMessage(s.messages.ByName("GetImageSpecResponse"))
	if len(found.Spec) > 0 {
		spec := response.Mutable(response.Descriptor().Fields().ByName("spec")).Message().Interface()
		if err := protojson.Unmarshal(found.Spec, spec); err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
	}
	return response, nil
}

func (s *server) find(id string) (answer, error) {
	text, err := os.ReadFile(s.file)
	if err != nil {
		return answer{}, status.Error(codes.Internal, err.Error())
	}
	answers := map[string]answer{}
	if err := json.Unmarshal(text, &answers); err != nil {
		return answer{}, status.Error(codes.Internal, err.Error())
	}
	found, ok := answers[id]
	if !ok {
		return answer{}, status.Error(codes.NotFound, "not found")
	}
	return found, nil
}

func tlsConfig(crt, key, ca, maxTLS string) *tls.Config {
	// Read for every connection, as servers do whose certificates are rotated
	config := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(crt, key)
		return &pair, err
	}}
	if maxTLS == "1.2" {
		config.MaxVersion = tls.VersionTLS12
	}
	if ca != "" {
		text, err := os.ReadFile(ca)
		check(err)
		config.ClientCAs = x509.NewCertPool()
		config.ClientCAs.AppendCertsFromPEM(text)
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config
}

type field struct {
	name     string
	number   int32
	kind     descriptorpb.FieldDescriptorProto_Type
	repeated bool
	message  string
	oneof    bool
}

const (
	text    = descriptorpb.FieldDescriptorProto_TYPE_STRING
	number  = descriptorpb.FieldDescriptorProto_TYPE_INT64
	content = descriptorpb.FieldDescriptorProto_TYPE_BYTES
	message = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
)

// describe gives package registryfacade: the names, numbers and types that are on the wire.
func describe() protoreflect.FileDescriptor {
	file := &descriptorpb.FileDescriptorProto{
		Name: proto.String("registryfacade.proto"), Package: proto.String("registryfacade"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			messageType("ImageSpec",
				field{name: "base_ref", number: 1, kind: text},
				field{name: "ide_ref", number: 2, kind: text},
				field{name: "content_layer", number: 3, kind: message, message: "ContentLayer", repeated: true},
				field{name: "supervisor_ref", number: 5, kind: text},
				field{name: "ide_layer_ref", number: 7, kind: text, repeated: true}),
			messageType("ContentLayer",
				field{name: "remote", number: 1, kind: message, message: "RemoteContentLayer", oneof: true},
				field{name: "direct", number: 2, kind: message, message: "DirectContentLayer", oneof: true}),
			messageType("RemoteContentLayer",
				field{name: "url", number: 1, kind: text},
				field{name: "digest", number: 2, kind: text},
				field{name: "diff_id", number: 3, kind: text},
				field{name: "media_type", number: 4, kind: text},
				field{name: "size", number: 5, kind: number}),
			messageType("DirectContentLayer", field{name: "content", number: 1, kind: content}),
			messageType("GetImageSpecRequest", field{name: "id", number: 1, kind: text}),
			messageType("GetImageSpecResponse", field{name: "spec", number: 1, kind: message, message: "ImageSpec"}),
		},
	}
	built, err := protodesc.NewFile(file, nil)
	check(err)
	return built
}

func messageType(name string, fields ...field) *descriptorpb.DescriptorProto {
	built := &descriptorpb.DescriptorProto{Name: proto.String(name)}
	for _, f := range fields {
		label := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL
		if f.repeated {
			label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED
		}
		one := &descriptorpb.FieldDescriptorProto{
			Name: proto.String(f.name), Number: proto.Int32(f.number), Type: f.kind.Enum(), Label: label.Enum(),
		}
		if f.message != "" {
			one.TypeName = proto.String(".registryfacade." + f.message)
		}
		if f.oneof {
			one.OneofIndex = proto.Int32(0)
		}
		built.Field = append(built.Field, one)
	}
	if len(fields) > 0 && fields[0].oneof {
		built.OneofDecl = []*descriptorpb.OneofDescriptorProto{{Name: proto.String("spec")}}
	}
	return built
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
