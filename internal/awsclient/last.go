package awsclient

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/smithy-go/middleware"
)

// keepLastError gives the error of a call that its context has ended what the last try before was answered: the SDK drops that where the context ends
// while it waits for the next try.
func keepLastError(stack *middleware.Stack) error {
	type key struct{}
	// Behind all others of this step, so that those see the whole error: one of them masks it.
	err := stack.Initialize.Add(middleware.InitializeMiddlewareFunc("ec2KeepLastError",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
			middleware.InitializeOutput, middleware.Metadata, error) {
			var last error
			out, metadata, err := next.HandleInitialize(context.WithValue(ctx, key{}, &last), in)
			if err != nil && ctx.Err() != nil && last != nil && !errors.Is(err, last) {
				err = fmt.Errorf("%w; the last error was: %w", err, last)
			}
			return out, metadata, err
		}), middleware.After)
	if err != nil {
		return err
	}
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("ec2NoteLastError",
		func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
			middleware.FinalizeOutput, middleware.Metadata, error) {
			out, metadata, err := next.HandleFinalize(ctx, in)
			if last, ok := ctx.Value(key{}).(*error); ok && err != nil && ctx.Err() == nil {
				*last = err
			}
			return out, metadata, err
		}), "Retry", middleware.After)
}
