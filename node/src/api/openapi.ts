/** The OpenAPI 3.1 description, made from the route table. */
import { toJsonSchema } from '@valibot/to-json-schema'
import { routes } from './routes.ts'

export function describeApi(version: string): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const { method, path, summary, input } of routes) {
    const at = `/api/v1${path.replace(':share', '{share}')}`
    paths[at] = {
      ...paths[at],
      [method]: {
        summary,
        ...(path.includes(':share')
          ? { parameters: [{ name: 'share', in: 'path', required: true, schema: { type: 'string' } }] }
          : {}),
        ...(input === undefined
          ? {}
          : {
              requestBody: {
                required: true,
                content: { 'application/json': { schema: toJsonSchema(input) } },
              },
            }),
        responses: { 200: { description: 'Done' }, default: { $ref: '#/components/responses/Refused' } },
      },
    }
  }
  paths['/api/v1/events'] = {
    get: {
      summary: 'Events as they happen (text/event-stream)',
      responses: { 200: { description: 'A stream' } },
    },
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Cofolder', version },
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      responses: {
        Refused: {
          description: 'What was wrong and what to do',
          content: {
            'application/json': {
              schema: {
                type: 'object',
                properties: {
                  error: {
                    type: 'object',
                    properties: { code: { type: 'string' }, message: { type: 'string' } },
                  },
                },
              },
            },
          },
        },
      },
    },
  }
}
